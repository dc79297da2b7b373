/* Numbers of PostgreSQL's own types (pg_type.dat), which libpq does not export. */
#ifndef MTI_DB_OID_H
#define MTI_DB_OID_H

enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_CHAR = 18,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_OID = 26,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_DATE = 1082,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700,
    OID_UUID = 2950,
    OID_JSONB = 3802,
};

/* The element type of an array type, 0 for all else. */
static inline unsigned mti_oid_element(unsigned array)
{
    static const unsigned short pairs[][2] = {
        {1000, OID_BOOL},        {1001, OID_BYTEA},   {1005, OID_INT2},    {1007, OID_INT4},
        {1009, OID_TEXT},        {1014, OID_BPCHAR},  {1015, OID_VARCHAR}, {1016, OID_INT8},
        {1021, OID_FLOAT4},      {1022, OID_FLOAT8},  {1182, OID_DATE},    {1003, OID_NAME},
        {1185, OID_TIMESTAMPTZ}, {1231, OID_NUMERIC}, {199, OID_JSON},     {2951, OID_UUID},
        {3807, OID_JSONB},
    };
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i][0] == array)
            return pairs[i][1];
    return 0;
}

#endif

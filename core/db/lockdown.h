/* What plugin roles may not call, taken from PUBLIC in the connection's database. Needs a superuser. CONTRACT.md rule 22. */
#ifndef MTI_DB_LOCKDOWN_H
#define MTI_DB_LOCKDOWN_H

/* Idempotent. The database's owner keeps what it needs itself. Large objects are in the list because they have no row security:
 * one tenant's request could leave what another's reads. */
#define MTI_LOCKDOWN_SQL                                                                                                       \
    "DO $$ DECLARE f record; owner text := (SELECT pg_get_userbyid(datdba) FROM pg_catalog.pg_database "                       \
    "                                        WHERE datname = current_database()); "                                            \
    "BEGIN "                                                                                                                   \
    "  PERFORM pg_advisory_xact_lock(7239001); "                                                                               \
    "  FOR f IN SELECT p.oid::regprocedure AS name FROM pg_catalog.pg_proc p "                                                 \
    "           WHERE p.pronamespace = 'pg_catalog'::regnamespace "                                                            \
    "             AND (p.proname IN ('set_config', 'pg_notify', 'pg_cancel_backend', 'pg_terminate_backend', "                 \
    "                                'pg_export_snapshot', 'pg_logical_emit_message', 'loread', 'lowrite') "                   \
    "                  OR p.proname LIKE 'pg\\_%advisory%' OR p.proname LIKE 'pg\\_sleep%' OR p.proname LIKE 'lo\\_%') "       \
    "  LOOP "                                                                                                                  \
    "    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f.name); "                                                \
    "    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', f.name, owner); "                                                \
    "  END LOOP; "                                                                                                             \
    "  EXECUTE format('REVOKE TEMP ON DATABASE %I FROM PUBLIC', current_database()); "                                         \
    "  EXECUTE 'REVOKE CREATE ON SCHEMA public FROM PUBLIC'; "                                                                 \
    "END $$"

#endif

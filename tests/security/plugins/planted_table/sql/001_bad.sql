CREATE TABLE planted_table.open (id uuid PRIMARY KEY, text text);

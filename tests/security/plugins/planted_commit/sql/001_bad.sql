CREATE TABLE planted_commit.open (id uuid PRIMARY KEY);
COMMIT;

"""Questions straight to the managed PostgreSQL, past the host."""
import contextlib
import os
import subprocess


class DatabaseError(Exception):
    pass


class Database:
    def __init__(self, url):
        self.url = url

    def command(self):
        command = ["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-f", "-", self.url]
        return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command

    def run(self, sql):
        """psql's output, a row a line, columns parted by tabs. An error raises DatabaseError with its SQLSTATE and text."""
        done = subprocess.run(self.command(), input=sql, capture_output=True, text=True, timeout=60, cwd="/")
        if done.returncode:
            raise DatabaseError(done.stderr.strip())
        return done.stdout

    @contextlib.contextmanager
    def session(self):
        """A function that runs statements in one session: its transaction stays open between calls."""
        with subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/") as psql:
            def run(sql):
                psql.stdin.write(sql + ";\n\\echo done\n")
                psql.stdin.flush()
                lines = []
                while (line := psql.stdout.readline()) != "done\n":
                    lines.append(line)
                    if not line:
                        raise DatabaseError("".join(lines))
            try:
                yield run
            finally:
                psql.stdin.close()

    def rows(self, sql):
        return [line.split("\t") for line in self.run(sql).splitlines()]

    def value(self, sql):
        return self.rows(sql)[0][0]

    def count(self, table, where="true"):
        return int(self.value(f"SELECT count(*) FROM {table} WHERE {where}"))

    def as_plugin(self, slug, org, sql, workspace="*"):
        """Runs sql as a plugin's runtime role in an organization's context, as the host would."""
        return self.rows(f"""
            BEGIN;
            SELECT set_config('app.org_id', '{org}', true), set_config('app.workspace_id', '{workspace}', true) \\g /dev/null
            SET LOCAL ROLE "mt_p_{slug}";
            {sql};
            COMMIT;""")

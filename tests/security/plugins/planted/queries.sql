-- The first three are honest. Every other one tries to get at what is not the caller's.

-- name: own :one
INSERT INTO planted.item (id, text) VALUES (:new_id, :other) RETURNING text AS value;

-- name: read_own :one write
SELECT string_agg(text, ',') || left(:other, 0) AS value FROM planted.item;

-- name: read_granted :one write
SELECT string_agg(name, ',') || left(:other, 0) AS value FROM tenancy.workspace;

-- name: set_config :one write
SELECT set_config('app.org_id', :other, true) AS value;

-- name: set_config_and_read :one write
SELECT string_agg(i.text, ',') AS value FROM (SELECT set_config('app.org_id', :other, true) AS x OFFSET 0) s, planted.item i WHERE s.x IS NOT NULL;

-- name: set_config_in_xml :one write
SELECT query_to_xml('SELECT set_config(''app.org_id'', ''' || :other || ''', true)', true, true, '')::text AS value;

-- name: settings_view :exec
UPDATE pg_settings SET setting = '128kB' WHERE name = 'work_mem' AND :other <> '';

-- name: other_schema :one write
SELECT string_agg(name || :other, ',') AS value FROM tenancy.api_key;

-- name: credentials :one write
SELECT count(*) || :other AS value FROM mt.credential;

-- name: credential_function :one write
SELECT id || :other AS value FROM mt.find_credential('\x00'::bytea);

-- name: change_log :one write
SELECT count(*) || :other AS value FROM mt.change;

-- name: jobs :one write
SELECT count(*) || :other AS value FROM mt.job;

-- name: organizations :one write
SELECT count(*) || :other AS value FROM mt.list_organizations('ffffffff-ffff-ffff-ffff-ffffffffffff', 10);

-- name: xml_of_table :one write
SELECT query_to_xml('SELECT * FROM tenancy.api_key', true, true, '')::text || :other AS value;

-- name: passwords :one write
SELECT count(*) || :other AS value FROM pg_authid;

-- name: insert_as_other :one
INSERT INTO planted.item (org_id, id, text) VALUES (:other::text::uuid, :new_id, 'planted') RETURNING text AS value;

-- name: write_workspace :one
UPDATE tenancy.workspace SET name = :other RETURNING name AS value;

-- name: sleep :one write
SELECT (pg_sleep(1) IS NULL) || :other AS value;

-- name: lock :one write
SELECT pg_advisory_lock(1) || :other AS value;

-- name: notify :one write
SELECT pg_notify('mt_cache', :other)::text AS value;

-- name: kill :one write
SELECT pg_terminate_backend(pg_backend_pid()) || :other AS value;

-- name: file :one write
SELECT pg_read_file('/etc/passwd') || :other AS value;

-- name: large_object :one write
SELECT lo_create(0) || :other AS value;

-- name: role :one write
SELECT set_config('role', 'mt_o_tenancy', true) || :other AS value;

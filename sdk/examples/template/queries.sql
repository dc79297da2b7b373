-- name: ticket_list :many cursor=id
SELECT id, title, state, created_at FROM helpdesk.ticket
WHERE workspace_id = :workspace_id AND state = :state AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: ticket_get :one
SELECT id, title, state, created_at FROM helpdesk.ticket WHERE workspace_id = :workspace_id AND id = :ticket_id;

-- name: ticket_create :one
INSERT INTO helpdesk.ticket (workspace_id, id, title) VALUES (:workspace_id, :new_id, :title) RETURNING id, title, state, created_at;

-- The ticket and its first entry are one transaction, and share an id.
-- name: entry_first :exec
INSERT INTO helpdesk.entry (ticket_id, id, text) VALUES (:new_id, :new_id, :text);

-- A closed ticket is not found, and nothing of the list is done.
-- name: ticket_close :one
UPDATE helpdesk.ticket SET state = 'closed' WHERE workspace_id = :workspace_id AND id = :ticket_id AND state = 'open'
RETURNING id, title, state, created_at;

-- name: entry_last :exec
INSERT INTO helpdesk.entry (ticket_id, id, text) VALUES (:ticket_id, :new_id, :text);

-- name: entry_list :many cursor=id
SELECT e.id, e.text, e.created_at FROM helpdesk.entry e JOIN helpdesk.ticket t ON t.id = e.ticket_id
WHERE t.workspace_id = :workspace_id AND e.ticket_id = :ticket_id AND e.id < :cursor ORDER BY e.id DESC LIMIT :limit;

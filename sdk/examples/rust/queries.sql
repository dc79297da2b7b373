-- name: vote_add :one
INSERT INTO rust_tally.choice AS c (choice, votes) VALUES (:choice, 1)
ON CONFLICT (org_id, choice) DO UPDATE SET votes = c.votes + 1 RETURNING c.choice, c.votes;

-- name: vote_list :many
SELECT choice, votes FROM rust_tally.choice ORDER BY votes DESC, choice LIMIT 1000;

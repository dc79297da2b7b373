-- name: go :one
SELECT text AS value FROM notes.note;

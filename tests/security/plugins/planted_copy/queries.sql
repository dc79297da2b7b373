-- name: go :one
COPY (SELECT 1) TO PROGRAM 'touch /tmp/planted';

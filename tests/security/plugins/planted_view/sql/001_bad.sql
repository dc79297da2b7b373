CREATE VIEW planted_view.all_workspaces AS SELECT id, name FROM tenancy.workspace;

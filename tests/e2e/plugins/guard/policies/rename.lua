-- hook: document.uploaded
-- priority: 50
if string.find(ctx.file_name, "forbidden", 1, true) then
  decide.deny(422, "name_forbidden", "Not under this name.")
end
patch("/file_name", "guarded-" .. ctx.file_name)

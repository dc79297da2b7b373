-- An ONNX model's word pieces, a file beside its weights; what a model is for is in config.
ALTER TABLE models.model ADD COLUMN vocab_sha256 text;

"""Services that an OpenAPI document describes, as far sides: the document, its operations, requests, answers."""

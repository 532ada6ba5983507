"""pytest puts a conftest's folder on the import path: the rooms below import the helper modules of this one."""

"""The RPCs: convert in, one use case, convert out. Who may call what stands in the access policy; errors map themselves."""

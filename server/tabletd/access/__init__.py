"""Who calls, and what they may do: roles, passwords, certificates, the audit log."""

"""Any input at all. Whatever it is, the only claims are those of `judge`: it is used, refused or named, soon, and in little memory."""

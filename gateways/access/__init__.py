"""Who somebody is, in both directions: keys, tokens, logins, SMART."""

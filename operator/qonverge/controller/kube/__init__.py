"""The API server: requests, events, leader election, and the key that tokens are signed with."""

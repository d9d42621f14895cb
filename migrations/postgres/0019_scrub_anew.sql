-- Files of the write-ahead log may have been left when this was noted: each erasure waits until they are looked at.
UPDATE audit_scrub SET gone_at = NULL;

-- A file that was written over keeps parts of rows where its pages were split: each erasure waits until it is written anew.
UPDATE audit_scrub SET rewritten_at = NULL, gone_at = NULL;

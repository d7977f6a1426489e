-- Only who registered while addresses were to be confirmed is asked to.
ALTER TABLE users ADD COLUMN awaits_confirmation boolean NOT NULL DEFAULT false;
UPDATE users SET awaits_confirmation = true WHERE email_verified_at IS NULL
    AND EXISTS (SELECT 1 FROM account_tokens t WHERE t.user_id = users.id AND t.purpose = 'confirm');

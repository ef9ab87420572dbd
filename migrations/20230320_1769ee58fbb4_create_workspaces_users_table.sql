-- create workspaces_users table
--
-- revision: 1769ee58fbb4
-- revises: 82a5a88a3fa5
-- tag: 1.7
-- created: 2023-03-20 16:38:17

-- migrate:up postgres
create table workspaces_users (
    workspace_id uuid not null references workspaces (id) on delete cascade,
    user_id      uuid not null references users (id) on delete cascade,
    created_at   timestamptz not null default now(),
    primary key (workspace_id, user_id)
);

-- migrate:up sqlite
create table workspaces_users (
    workspace_id text not null references workspaces (id) on delete cascade,
    user_id      text not null references users (id) on delete cascade,
    created_at   text not null default current_timestamp,
    primary key (workspace_id, user_id)
);

-- migrate:up
-- The primary key finds the users of a workspace, this index the workspaces of a user.
create index workspaces_users_user_id on workspaces_users (user_id);

-- migrate:down
drop table workspaces_users;

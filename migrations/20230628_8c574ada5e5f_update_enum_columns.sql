-- update_enum_columns
--
-- revision: 8c574ada5e5f
-- revises: 3ff6484f8b37
-- created: 2023-06-28 17:04:31
-- allow: changing-column-type

-- migrate:up postgres
-- Free text becomes enums, and words that misled people get better ones. A value that is
-- neither an old word nor a new one makes the cast fail, and the revision is rolled back.
create type user_role as enum ('owner', 'admin', 'annotator');
create type dataset_status as enum ('draft', 'ready');
create type response_status as enum ('draft', 'submitted', 'discarded');

-- The defaults leave first: PostgreSQL does not cast a default of text to an enum.
alter table users
    alter column role drop default,
    alter column role type user_role using (
        case role when 'superuser' then 'owner' else role end
    )::user_role,
    alter column role set default 'annotator';

alter table datasets
    alter column status drop default,
    alter column status type dataset_status using (
        case status when 'open' then 'draft' when 'published' then 'ready' else status end
    )::dataset_status,
    alter column status set default 'draft';

alter table responses
    alter column status drop default,
    alter column status type response_status using (
        case status when 'saved' then 'draft' when 'skipped' then 'discarded' else status end
    )::response_status,
    alter column status set default 'submitted';

-- migrate:up sqlite
-- SQLite cannot add a CHECK to a column that exists, so each table is rebuilt. The old one is
-- dropped before the new one takes its name: so the references of other tables stay as they are.
create table users_new (
    id            text primary key not null default (lower(hex(randomblob(16)))),
    username      text not null unique,
    display_name  text,
    role          text not null default 'annotator' check (role in ('owner', 'admin', 'annotator')),
    api_key       text not null unique,
    password_hash text not null,
    created_at    text not null default current_timestamp,
    updated_at    text not null default current_timestamp
);
insert into users_new
select id, username, display_name,
    case role when 'superuser' then 'owner' else role end,
    api_key, password_hash, created_at, updated_at
from users;
drop table users;
alter table users_new rename to users;

create table datasets_new (
    id           text primary key not null default (lower(hex(randomblob(16)))),
    workspace_id text not null references workspaces (id) on delete cascade,
    name         text not null,
    guidelines   text,
    status       text not null default 'draft' check (status in ('draft', 'ready')),
    created_at   text not null default current_timestamp,
    updated_at   text not null default current_timestamp,
    unique (workspace_id, name)
);
insert into datasets_new
select id, workspace_id, name, guidelines,
    case status when 'open' then 'draft' when 'published' then 'ready' else status end,
    created_at, updated_at
from datasets;
drop table datasets;
alter table datasets_new rename to datasets;

create table responses_new (
    id         text primary key not null default (lower(hex(randomblob(16)))),
    record_id  text not null references records (id) on delete cascade,
    user_id    text references users (id) on delete set null,
    status     text not null default 'submitted'
               check (status in ('draft', 'submitted', 'discarded')),
    answers    text check (answers is null or json_valid(answers)),
    created_at text not null default current_timestamp,
    updated_at text not null default current_timestamp,
    unique (record_id, user_id)
);
insert into responses_new
select id, record_id, user_id,
    case status when 'saved' then 'draft' when 'skipped' then 'discarded' else status end,
    answers, created_at, updated_at
from responses;
drop table responses;
alter table responses_new rename to responses;
create index responses_user_id on responses (user_id);

-- migrate:down postgres
-- Every new word goes back to its old one. What is lost: a row that somebody had given the
-- new word by hand before the upgrade comes back with the old one.
alter table users
    alter column role drop default,
    alter column role type varchar using
        case role when 'owner' then 'superuser' else role::text end,
    alter column role set default 'annotator';

alter table datasets
    alter column status drop default,
    alter column status type varchar using
        case status when 'draft' then 'open' else 'published' end,
    alter column status set default 'open';

alter table responses
    alter column status drop default,
    alter column status type varchar using
        case status when 'draft' then 'saved' when 'discarded' then 'skipped' else status::text end,
    alter column status set default 'submitted';

drop type user_role;
drop type dataset_status;
drop type response_status;

-- migrate:down sqlite
-- The same losses as on PostgreSQL.
create table users_new (
    id            text primary key not null default (lower(hex(randomblob(16)))),
    username      text not null unique,
    display_name  text,
    role          text not null default 'annotator',
    api_key       text not null unique,
    password_hash text not null,
    created_at    text not null default current_timestamp,
    updated_at    text not null default current_timestamp
);
insert into users_new
select id, username, display_name,
    case role when 'owner' then 'superuser' else role end,
    api_key, password_hash, created_at, updated_at
from users;
drop table users;
alter table users_new rename to users;

create table datasets_new (
    id           text primary key not null default (lower(hex(randomblob(16)))),
    workspace_id text not null references workspaces (id) on delete cascade,
    name         text not null,
    guidelines   text,
    status       text not null default 'open',
    created_at   text not null default current_timestamp,
    updated_at   text not null default current_timestamp,
    unique (workspace_id, name)
);
insert into datasets_new
select id, workspace_id, name, guidelines,
    case status when 'draft' then 'open' else 'published' end,
    created_at, updated_at
from datasets;
drop table datasets;
alter table datasets_new rename to datasets;

create table responses_new (
    id         text primary key not null default (lower(hex(randomblob(16)))),
    record_id  text not null references records (id) on delete cascade,
    user_id    text references users (id) on delete set null,
    status     text not null default 'submitted',
    answers    text check (answers is null or json_valid(answers)),
    created_at text not null default current_timestamp,
    updated_at text not null default current_timestamp,
    unique (record_id, user_id)
);
insert into responses_new
select id, record_id, user_id,
    case status when 'draft' then 'saved' when 'discarded' then 'skipped' else status end,
    answers, created_at, updated_at
from responses;
drop table responses;
alter table responses_new rename to responses;
create index responses_user_id on responses (user_id);

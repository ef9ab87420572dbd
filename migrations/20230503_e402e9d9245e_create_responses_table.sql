-- create responses table
--
-- revision: e402e9d9245e
-- revises: 8be56284dac0
-- created: 2023-05-03 15:30:09

-- migrate:up postgres
-- The work stays when its author leaves: user_id is set to null, not cascaded.
create table responses (
    id         uuid primary key default gen_random_uuid(),
    record_id  uuid not null references records (id) on delete cascade,
    user_id    uuid references users (id) on delete set null,
    status     varchar not null default 'submitted',
    answers    jsonb,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (record_id, user_id)
);

-- migrate:up sqlite
-- The null is asked for by name: json_valid(null) is false in older releases of SQLite.
create table responses (
    id         text primary key not null default (lower(hex(randomblob(16)))),
    record_id  text not null references records (id) on delete cascade,
    user_id    text references users (id) on delete set null,
    status     text not null default 'submitted',
    answers    text check (answers is null or json_valid(answers)),
    created_at text not null default current_timestamp,
    updated_at text not null default current_timestamp,
    unique (record_id, user_id)
);

-- migrate:up
create index responses_user_id on responses (user_id);

-- migrate:down
drop table responses;

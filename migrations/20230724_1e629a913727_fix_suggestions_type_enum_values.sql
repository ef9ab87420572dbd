-- fix suggestions type enum values
--
-- revision: 1e629a913727
-- revises: 3fc3c0839959
-- tag: 1.13
-- created: 2023-07-24 12:47:11
-- allow: changing-column-type

-- migrate:up postgres
-- Values are lower case like those of every other enum, and USER, which always meant HUMAN,
-- goes. RENAME VALUE would mend the case, but no enum can lose a value: hence a new type.
alter type suggestion_type rename to suggestion_type_old;
create type suggestion_type as enum ('model', 'human');

alter table suggestions
    alter column type type suggestion_type using (
        case type when 'MODEL' then 'model' when 'HUMAN' then 'human' when 'USER' then 'human' end
    )::suggestion_type;

drop type suggestion_type_old;

-- migrate:up sqlite
create table suggestions_new (
    id          text primary key not null default (lower(hex(randomblob(16)))),
    record_id   text not null references records (id) on delete cascade,
    question_id text not null references questions (id) on delete cascade,
    type        text check (type in ('model', 'human')),
    agent       text,
    score       real check (score between 0 and 1),
    value       text not null check (json_valid(value)),
    created_at  text not null default current_timestamp,
    updated_at  text not null default current_timestamp,
    unique (record_id, question_id)
);
insert into suggestions_new
select id, record_id, question_id,
    case type when 'MODEL' then 'model' when 'HUMAN' then 'human' when 'USER' then 'human' end,
    agent, score, value, created_at, updated_at
from suggestions;
drop table suggestions;
alter table suggestions_new rename to suggestions;
create index suggestions_question_id on suggestions (question_id);

-- migrate:down postgres
-- What is lost: which of the human ones were USER. All of them come back as HUMAN.
alter type suggestion_type rename to suggestion_type_new;
create type suggestion_type as enum ('MODEL', 'HUMAN', 'USER');

alter table suggestions
    alter column type type suggestion_type using upper(type::text)::suggestion_type;

drop type suggestion_type_new;

-- migrate:down sqlite
-- The same loss as on PostgreSQL.
create table suggestions_new (
    id          text primary key not null default (lower(hex(randomblob(16)))),
    record_id   text not null references records (id) on delete cascade,
    question_id text not null references questions (id) on delete cascade,
    type        text check (type in ('MODEL', 'HUMAN', 'USER')),
    agent       text,
    score       real check (score between 0 and 1),
    value       text not null check (json_valid(value)),
    created_at  text not null default current_timestamp,
    updated_at  text not null default current_timestamp,
    unique (record_id, question_id)
);
insert into suggestions_new
select id, record_id, question_id, upper(type), agent, score, value, created_at, updated_at
from suggestions;
drop table suggestions;
alter table suggestions_new rename to suggestions;
create index suggestions_question_id on suggestions (question_id);

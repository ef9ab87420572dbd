//! What is in a throwaway file, for `revision import`.

use std::path::Path;

use super::{BUSY, cell, close, open, rows};
use crate::db::{DbError, sql::literal};

/// The statement of each table, index, view and trigger, in a fixed order; the tables of those who
/// keep the books left out.
pub(in crate::db) async fn statements(
    path: &Path,
    version_table: &str,
) -> Result<Vec<String>, DbError> {
    let mut connection = open(path, false, BUSY).await?;
    let table = literal(version_table);
    let query = format!(
        "select coalesce(sql, '') from sqlite_schema \
         where tbl_name not like 'prelaunch^_%' escape '^' and tbl_name <> {table} \
         and name not like 'sqlite^_%' escape '^' order by type, name"
    );
    let found = rows(&mut connection, query).await;
    close(Some(connection)).await;
    found?.iter().map(|row| cell(row, 0)).collect()
}

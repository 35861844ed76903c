//! One question to a tenant's database, through the library: it answers with text, and nothing in it can write.

use mtmigrate::engine;
use mtmigrate::error::Code;
use mtmigrate::tenant::{self, ProcessEnvironment};

use crate::support::{Fleet, mariadb, postgres};

#[test]
fn a_question_is_answered_with_text_and_can_write_nothing() {
    let (pg, my) = (postgres(0).create_database(), mariadb(0).create_database());
    let mut fleet = Fleet::new();
    fleet.changeset(
        "V1__t.sql",
        "CREATE TABLE t (id int, name varchar(20)); INSERT INTO t VALUES (1, 'a'), (2, NULL), (3, 'ü');",
    );
    fleet.tenants_yaml(&format!(
        "servers:\n  pg: {{ url: \"{}\" }}\n  my: {{ url: \"{}\" }}\ntenants:\n  - {{ name: pg, server: pg, database: {pg} }}\n  \
         - {{ name: my, server: my, database: {my} }}\n  - {{ name: lite, url: \"sqlite://x.db?mode=rwc\" }}\n",
        postgres(0).server_url(),
        mariadb(0).server_url()
    ));
    fleet.run(&["up"]).expect(0);
    mariadb(0).execute(&my, "CREATE SEQUENCE s");
    let known = tenant::load(&fleet.folder().join("tenants.yaml"), &ProcessEnvironment).expect("understood");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let servers = engine::open(&known).expect("opened");
        for tenant in &known.tenants {
            let server = &servers[tenant.server.0];
            let answer = server.ask(tenant, "SELECT id, name AS who FROM t ORDER BY id;", 3).await.expect("answered");
            let text = |row: &[Option<&str>]| row.iter().map(|cell| cell.map(str::to_owned)).collect::<Vec<_>>();
            assert_eq!(answer.columns, ["id", "who"], "{}", tenant.name);
            assert_eq!(answer.rows[0], text(&[Some("1"), Some("a")]));
            assert_eq!(answer.rows[1..], [text(&[Some("2"), None]), text(&[Some("3"), Some("ü")])]);
            for wrong in [
                "SELECT id FROM t UNION ALL SELECT 4",
                "SELECT * FROM nothing",
                "SELECT 1; DROP TABLE t",
                "DELETE FROM t",
                "COMMIT",
                "CALL p()",
                "SELECT 1 INTO x",
                "SELECT 1 INTO OUTFILE '/tmp/mtmigrate-outfile'",
                "",
            ] {
                let refused = server.ask(tenant, wrong, 3).await.expect_err(wrong);
                assert_eq!(refused.code(), Code::QUESTION_FAILED, "{}: {wrong}: {refused}", tenant.name);
            }
            let writes = match tenant.name.as_str() {
                "pg" => "WITH gone AS (DELETE FROM t RETURNING 1) SELECT * FROM gone",
                "my" => "SELECT nextval(s)",
                _ => "WITH x AS (SELECT 1) DELETE FROM t",
            };
            let refused = server.ask(tenant, writes, 3).await.expect_err(writes);
            assert_eq!(refused.code(), Code::QUESTION_FAILED, "{refused}");
            assert_eq!(
                server.ask(tenant, "SELECT count(*) FROM t", 1).await.expect("answered").rows,
                [text(&[Some("3")])]
            );
            server.close().await;
        }
    });
}

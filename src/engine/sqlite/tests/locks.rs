use std::fs;
use std::process::{Command, Stdio};

use super::{Scene, server_of};
use crate::engine::{LockAttempt, RunIdentity};
use crate::error::Code;

#[tokio::test]
async fn a_second_run_learns_who_holds_the_lock_and_gets_it_afterwards() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let (first, second) = (&scene.server, server_of(scene.folder.path()));
    assert_eq!(first.try_lock(&scene.run, &[&acme]).await.unwrap(), LockAttempt::Taken);
    first.check_lock().await.unwrap();
    let other = RunIdentity::new();
    let LockAttempt::Held(holder) = second.try_lock(&other, &[&acme]).await.unwrap() else { panic!() };
    let run = &scene.run;
    assert_eq!(holder.run_id.as_deref(), Some(run.run_id.as_str()));
    let named = format!("run {}, process {}@{}, since 20", run.run_id, run.pid, run.host);
    assert!(holder.description.starts_with(&named), "{}", holder.description);
    let LockAttempt::Held(_) = first.try_lock(&scene.run, &[&acme]).await.unwrap() else { panic!() };
    first.check_lock().await.unwrap();
    first.unlock().await;
    assert_eq!(second.try_lock(&other, &[&acme]).await.unwrap(), LockAttempt::Taken);
    drop(second);
    assert_eq!(first.try_lock(&scene.run, &[&acme]).await.unwrap(), LockAttempt::Taken);
}

#[tokio::test]
async fn the_lock_of_a_killed_process_is_free_and_its_file_is_harmless() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let path = scene.path(".mtmigrate.lock");
    let script = "echo 'run of-the-dead' > \"$0\"; exec 9<>\"$0\"; flock 9; echo held; exec sleep 100";
    let mut child = Command::new("sh").args(["-c", script]).arg(&path).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut said).unwrap();
    let LockAttempt::Held(holder) = scene.server.try_lock(&scene.run, &[&acme]).await.unwrap() else { panic!() };
    assert_eq!(holder.run_id.as_deref(), Some("of-the-dead"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scene.server.try_lock(&scene.run, &[&acme]).await.unwrap(), LockAttempt::Taken);
}

#[tokio::test]
async fn a_lock_file_that_was_removed_or_replaced_is_a_lost_lock() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.server.try_lock(&scene.run, &[&acme]).await.unwrap();
    let path = scene.path(".mtmigrate.lock");
    fs::remove_file(&path).unwrap();
    assert_eq!(scene.server.check_lock().await.unwrap_err().code(), Code::LOCK_LOST);
    fs::write(&path, "").unwrap();
    assert_eq!(scene.server.check_lock().await.unwrap_err().code(), Code::LOCK_LOST);
    scene.server.unlock().await;
    scene.server.check_lock().await.unwrap();
}

#[tokio::test]
async fn what_is_in_the_lock_file_is_shown_and_not_obeyed() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.server.try_lock(&scene.run, &[&acme]).await.unwrap();
    fs::write(scene.path(".mtmigrate.lock"), b"\x1b[31mred\xff\0").unwrap();
    let LockAttempt::Held(holder) = scene.server.try_lock(&scene.run, &[&acme]).await.unwrap() else { panic!() };
    assert!(!holder.description.contains('\x1b'));
    fs::write(scene.path(".mtmigrate.lock"), "").unwrap();
    let LockAttempt::Held(holder) = scene.server.try_lock(&scene.run, &[&acme]).await.unwrap() else { panic!() };
    assert_eq!(holder.description, "a run that has not said its name yet");
}

#[tokio::test]
async fn a_missing_directory_is_made_only_for_tenants_that_ask_for_it() {
    let scene = Scene::new();
    let server = server_of(&scene.path("a/b"));
    let (asks, does_not) = (scene.absent("x", true), scene.absent("y", false));
    assert_eq!(server.try_lock(&scene.run, &[&does_not]).await.unwrap_err().code(), Code::NO_DATABASE);
    assert!(!scene.path("a").exists());
    assert_eq!(server.try_lock(&scene.run, &[&does_not, &asks]).await.unwrap(), LockAttempt::Taken);
}

#[tokio::test]
async fn something_else_in_the_locks_place_is_said() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    fs::create_dir(scene.path(".mtmigrate.lock")).unwrap();
    assert_eq!(scene.server.try_lock(&scene.run, &[&acme]).await.unwrap_err().code(), Code::LOCK_FAILED);
}

#[tokio::test]
async fn a_link_in_the_locks_place_is_refused_and_what_it_leads_to_is_neither_written_nor_made() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let (theirs, dangling) = (scene.path("theirs"), scene.path("dangling"));
    fs::write(&theirs, "not ours").unwrap();
    for target in [&theirs, &dangling] {
        std::os::unix::fs::symlink(target, scene.path(".mtmigrate.lock")).unwrap();
        let refused = scene.server.try_lock(&scene.run, &[&acme]).await.unwrap_err();
        assert_eq!(refused.code(), Code::LOCK_FAILED);
        assert!(refused.causes()[0].contains("a link"), "{refused}");
        fs::remove_file(scene.path(".mtmigrate.lock")).unwrap();
    }
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "not ours");
    assert!(!dangling.exists());
}

//! Files past the direct limit: through the object store, and back.

use std::fs;

use aiida_firecrest_host::transport::{TransferOptions, Verification};
use aiida_firecrest_tests::{Rig, noise};
use std::time::Instant;

/// Nothing is left of the server's jobs or of ours.
fn assert_clean(rig: &Rig) {
    for folder in [rig.simulator.home(), &rig.simulator.scratch()] {
        let left: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(".aiida-firecrest") || name.starts_with(".f7t"))
            .collect();
        assert_eq!(left, [""; 0], "left in {folder}");
    }
}

#[tokio::test]
async fn a_large_file_goes_in_parts_and_comes_back_verified_without_the_jobs_minute() {
    let mut rig = Rig::setup().option("compute_resource", "cluster-account").open().await;
    let content = noise(20 << 20);
    let (local, remote) = (rig.local_file("large", &content, 0o644), rig.remote("large"));
    let checked = TransferOptions { verify: Some(true), ..TransferOptions::default() };
    let start = Instant::now();
    let put = rig.session.put(&local, &remote, &checked).await.unwrap();
    assert_eq!((put.bytes, put.verified), (20 << 20, Verification::Checksum));
    assert!(fs::read(&remote).unwrap() == content);
    assert!(start.elapsed().as_secs() < 50, "the job's sleep was waited for: {:?}", start.elapsed());
    let parts = rig.simulator.s3_requests().iter().filter(|request| request.part.is_some()).count();
    assert!(parts >= 3, "{parts} parts");

    let back = rig.local("back");
    let got = rig.session.get(&remote, &back, &checked).await.unwrap();
    assert_eq!((got.bytes, got.verified), (20 << 20, Verification::Checksum));
    assert!(fs::read(&back).unwrap() == content);
    assert_clean(&rig);
}

#[tokio::test]
async fn names_that_the_servers_scripts_cannot_carry_travel_all_the_same() {
    let mut rig = Rig::open().await;
    let content = noise(6 << 20);
    let name = "a $HOME & \"b\"";
    let (local, remote) = (rig.local_file(name, &content, 0o644), rig.remote(name));
    rig.session.put(&local, &remote, &TransferOptions::default()).await.unwrap();
    assert!(fs::read(&remote).unwrap() == content);
    let back = rig.local("back");
    rig.session.get(&remote, &back, &TransferOptions::default()).await.unwrap();
    assert!(fs::read(&back).unwrap() == content);
    // Through a symlink, too: the server's script would send its beginning alone.
    let link = rig.place_link(&remote, "link");
    let through = rig.local("through");
    rig.session.get(&link, &through, &TransferOptions::default()).await.unwrap();
    assert!(fs::read(&through).unwrap() == content);
    assert_clean(&rig);
}

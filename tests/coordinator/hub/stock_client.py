"""What anybody does with a Hub, by the stock client alone; knows nothing of this project.

    HF_ENDPOINT=http://127.0.0.1:PORT HF_HUB_DISABLE_XET=1 python stock_client.py CHAPTER

The owner's token is in OWNER_TOKEN, a stranger's in STRANGER_TOKEN. Prints `done CHAPTER` when all held.
"""

import io
import json
import os
import struct
import sys
import tempfile
from pathlib import Path

import huggingface_hub as hf
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

OWNER = hf.HfApi(token=os.environ["OWNER_TOKEN"])
STRANGER = hf.HfApi(token=os.environ["STRANGER_TOKEN"])
ANYBODY = hf.HfApi(token=False)
CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
tags: [paris, "run:demo"]
datasets: [lab/pictures]
base_model: lab/seed
---
# A model

<b>not bold</b>
"""


def refused(status, call, *args, error=HfHubHTTPError, **kwargs):
    problem = None
    try:
        call(*args, **kwargs)
    except error as raised:
        problem = raised
    assert problem is not None, f"{call} was not refused"
    assert problem.response.status_code == status, problem


def safetensors_bytes(values):
    header = json.dumps(
        {"weight": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, 4 * len(values)]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack(f"<{len(values)}f", *values)


def accounts_and_repos():
    me = OWNER.whoami()
    assert me["name"] == "lab"
    assert me["orgs"][0]["name"] == "guild"
    assert STRANGER.whoami()["name"].startswith("user-")
    refused(401, hf.HfApi(token="hf_short").whoami)
    for kind in ("model", "dataset"):
        assert not ANYBODY.repo_exists("lab/first", repo_type=kind)
        url = OWNER.create_repo("lab/first", repo_type=kind)
        assert (url.repo_id, url.repo_type) == ("lab/first", kind)
        refused(409, OWNER.create_repo, "lab/first", repo_type=kind)
        assert OWNER.create_repo("lab/first", repo_type=kind, exist_ok=True).repo_id == "lab/first"
        assert ANYBODY.repo_exists("lab/first", repo_type=kind)
        OWNER.delete_repo("lab/first", repo_type=kind)
        refused(404, OWNER.delete_repo, "lab/first", repo_type=kind, error=RepositoryNotFoundError)
        OWNER.delete_repo("lab/first", repo_type=kind, missing_ok=True)
    assert OWNER.create_repo("guild/shared").repo_id == "guild/shared"
    refused(403, STRANGER.create_repo, "lab/not-mine")
    assert STRANGER.create_repo("guild/shared", exist_ok=True).repo_id == "guild/shared"
    OWNER.create_repo("lab/hidden", private=True)
    refused(404, STRANGER.model_info, "lab/hidden", error=RepositoryNotFoundError)
    assert OWNER.model_info("lab/hidden").private
    OWNER.update_repo_settings("lab/hidden", private=False)
    assert not STRANGER.model_info("lab/hidden").private
    assert not ANYBODY.repo_exists("no-owner")


def uploads_and_downloads():
    OWNER.create_repo("lab/files")
    weights = safetensors_bytes([1.0, 2.0, 3.0])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "nested" / "deep").mkdir(parents=True)
        (root / "README.md").write_text(CARD)
        (root / "model.safetensors").write_bytes(weights)
        (root / "nested" / "deep" / "note \u00fc #1.txt").write_text("deep")
        (root / "empty.txt").touch()
        first = OWNER.upload_folder(repo_id="lab/files", folder_path=root, commit_message="all of it")
        again = OWNER.upload_folder(repo_id="lab/files", folder_path=root, commit_message="nothing new")
    assert again.oid == first.oid
    big = os.urandom(3 * 1024**2 + 17)  # arrives in parts: the server under test was told 1 MiB each
    OWNER.upload_file(repo_id="lab/files", path_or_fileobj=io.BytesIO(big), path_in_repo="nested/big.bin")
    assert Path(hf.hf_hub_download("lab/files", "nested/big.bin")).read_bytes() == big
    copy = Path(ANYBODY.snapshot_download("lab/files"))
    assert (copy / "model.safetensors").read_bytes() == weights
    assert (copy / "nested" / "deep" / "note \u00fc #1.txt").read_text() == "deep"
    assert (copy / "empty.txt").read_bytes() == b""
    with tempfile.TemporaryDirectory() as folder:
        hf.snapshot_download("lab/files", local_dir=folder, revision=first.oid, allow_patterns=["nested/*"])
        assert [p.name for p in Path(folder).glob("nested/**/*.*")] == ["note \u00fc #1.txt"]
    metadata = hf.get_safetensors_metadata("lab/files")
    assert metadata.parameter_count == {"F32": 3}
    files = hf.HfFileSystem()
    assert files.ls("lab/files/nested", detail=False) == ["lab/files/nested/big.bin", "lab/files/nested/deep"]
    with files.open("lab/files/nested/big.bin", "rb") as file:
        file.seek(1000)
        assert file.read(50) == big[1000:1050]
    assert files.info("lab/files/README.md", expand_info=True)["last_commit"]["title"] == "all of it"
    refused(404, ANYBODY.hf_hub_download, "lab/files", "nothing.txt", error=EntryNotFoundError)
    refused(404, ANYBODY.hf_hub_download, "lab/files", "README.md", revision="v9", error=RevisionNotFoundError)
    assert not ANYBODY.file_exists("lab/files", "nothing.txt")
    assert ANYBODY.file_exists("lab/files", "README.md")


def commits_and_revisions():
    OWNER.create_repo("lab/history", repo_type="dataset")
    where = {"repo_id": "lab/history", "repo_type": "dataset"}
    blob = b"\0" + os.urandom(5000)
    first = OWNER.create_commit(
        **where,
        operations=[
            hf.CommitOperationAdd("a/one.txt", b"one"),
            hf.CommitOperationAdd("a/two.txt", b"two"),
            hf.CommitOperationAdd("data.bin", blob),
        ],
        commit_message="first",
        commit_description="with a body",
    )
    second = OWNER.create_commit(
        **where,
        operations=[
            hf.CommitOperationDelete("a/one.txt"),
            hf.CommitOperationCopy("data.bin", "copies/data.bin", src_revision=first.oid),
            hf.CommitOperationCopy("a/two.txt", "copies/two.txt"),
        ],
        commit_message="second",
        parent_commit=first.oid,
    )
    late = [hf.CommitOperationAdd("late.txt", b"late")]
    refused(412, OWNER.create_commit, **where, operations=late, commit_message="late", parent_commit=first.oid)
    assert sorted(OWNER.list_repo_files(**where)) == ["a/two.txt", "copies/data.bin", "copies/two.txt", "data.bin"]
    copied = OWNER.get_paths_info(**where, paths=["copies/data.bin", "gone.txt", "copies"])
    assert [(e.path, getattr(e, "size", None)) for e in copied] == [("copies/data.bin", 5001), ("copies", None)]
    OWNER.delete_folder("copies", **where)
    refused(404, OWNER.delete_file, "a/one.txt", **where, error=EntryNotFoundError)
    titles = [commit.title for commit in ANYBODY.list_repo_commits(**where)]
    assert titles[1:] == ["second", "first", "initial commit"]
    assert titles[0].startswith("Delete folder")
    assert ANYBODY.list_repo_commits(**where, revision=first.oid)[0].message == "with a body"
    OWNER.create_tag(**where, tag="v1", revision=second.oid)
    refused(409, OWNER.create_tag, **where, tag="v1")
    OWNER.create_branch(**where, branch="side/line", revision=first.oid)
    OWNER.upload_file(**where, path_or_fileobj=b"side", path_in_repo="side.txt", revision="side/line")
    refs = ANYBODY.list_repo_refs(**where)
    assert {ref.name for ref in refs.branches} == {"main", "side/line"}
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", second.oid)]
    assert ANYBODY.file_exists(**where, filename="side.txt", revision="side/line")
    assert ANYBODY.dataset_info("lab/history", revision="v1").sha == second.oid
    tree = list(ANYBODY.list_repo_tree(**where, revision="v1", recursive=True, expand=True))
    assert {entry.path: entry.last_commit.title for entry in tree}["a/two.txt"] == "first"
    OWNER.delete_tag(**where, tag="v1")
    OWNER.delete_branch(**where, branch="side/line")
    refused(404, ANYBODY.dataset_info, "lab/history", revision="v1", error=RevisionNotFoundError)
    refused(403, STRANGER.upload_file, **where, path_or_fileobj=b"x", path_in_repo="x.txt")


def pull_requests():
    OWNER.create_repo("lab/run")
    OWNER.upload_file(repo_id="lab/run", path_or_fileobj=b"one\ntwo\n", path_in_repo="list.txt")
    weights = safetensors_bytes([4.0] * 100)
    additions = [
        hf.CommitOperationAdd("list.txt", b"one\nthree\n"),
        hf.CommitOperationAdd("expert-0/expert.safetensors", weights),
    ]
    opened = STRANGER.create_commit(
        "lab/run", additions, commit_message="my work", commit_description="see", create_pr=True
    )
    assert opened.pr_num == 1
    assert opened.pr_revision == "refs/pr/1"
    STRANGER.upload_file(
        repo_id="lab/run", path_or_fileobj=b"{}", path_in_repo="expert-0/submission.json", revision="refs/pr/1"
    )
    details = ANYBODY.get_discussion_details("lab/run", 1)
    assert (details.status, details.target_branch, details.conflicting_files) == ("open", "refs/heads/main", [])
    assert "-two\n+three\n" in details.diff
    assert "+oid sha256:" in details.diff
    assert [event.type for event in details.events] == ["comment", "commit", "commit"]
    refused(403, STRANGER.upload_file, repo_id="lab/run", path_or_fileobj=b"x", path_in_repo="x", revision="main")
    refused(403, STRANGER.merge_pull_request, "lab/run", 1)

    verified = ANYBODY.list_repo_refs("lab/run", include_pull_requests=True).pull_requests[0].target_commit
    head = OWNER.model_info("lab/run").sha
    copy = hf.CommitOperationCopy("expert-0/expert.safetensors", "experts/0.safetensors", src_revision=verified)
    OWNER.create_commit("lab/run", [copy], commit_message="register expert 0", parent_commit=head)
    comment = OWNER.comment_discussion("lab/run", 1, "verified: <b>good</b>")
    assert comment.content == "verified: <b>good</b>"
    assert "<b>" not in comment.rendered
    OWNER.change_discussion_status("lab/run", 1, "closed", comment="registered")
    refused(403, STRANGER.upload_file, repo_id="lab/run", path_or_fileobj=b"x", path_in_repo="x", revision="refs/pr/1")
    assert Path(hf.hf_hub_download("lab/run", "experts/0.safetensors")).read_bytes() == weights


def drafts_and_merges():
    OWNER.create_repo("lab/merges")
    draft = STRANGER.create_pull_request("lab/merges", "a draft", description="soon")
    assert draft.status == "draft"
    assert draft.git_reference == "refs/pr/1"
    STRANGER.upload_file(repo_id="lab/merges", path_or_fileobj=b"new", path_in_repo="new.txt", revision="refs/pr/1")
    refused(400, OWNER.merge_pull_request, "lab/merges", 1, error=BadRequestError)
    OWNER.change_discussion_status("lab/merges", 1, "open")
    assert OWNER.rename_discussion("lab/merges", 1, "a better name").new_title == "a better name"
    OWNER.merge_pull_request("lab/merges", 1, comment="thanks")
    merged = ANYBODY.get_discussion_details("lab/merges", 1)
    assert merged.status == "merged"
    assert merged.merge_commit_oid == ANYBODY.model_info("lab/merges").sha
    assert ANYBODY.list_repo_commits("lab/merges")[0].title == "a better name (#1)"
    for text in (b"theirs", b"ours"):
        STRANGER.upload_file(repo_id="lab/merges", path_or_fileobj=text, path_in_repo="same.txt", create_pr=True)
    OWNER.merge_pull_request("lab/merges", 2)
    assert ANYBODY.get_discussion_details("lab/merges", 3).conflicting_files == ["same.txt"]
    refused(409, OWNER.merge_pull_request, "lab/merges", 3)
    talk = STRANGER.create_discussion("lab/merges", "a question", description="why?")
    assert talk.events[0].content == "why?"
    assert not talk.is_pull_request
    found = ANYBODY.get_repo_discussions
    assert [d.num for d in found("lab/merges")] == [4, 3, 2, 1]
    assert [d.num for d in found("lab/merges", discussion_type="pull_request", discussion_status="open")] == [3]
    assert [d.num for d in found("lab/merges", author=talk.author, discussion_type="discussion")] == [4]


def finding_models():
    OWNER.create_repo("lab/found")
    OWNER.upload_file(repo_id="lab/found", path_or_fileobj=CARD.encode(), path_in_repo="README.md")
    wanted = ["paris", "run:demo", "license:apache-2.0", "dataset:lab/pictures", "base_model:lab/seed", "diffusers"]
    found = list(ANYBODY.list_models(filter=wanted, author="lab", search="found", pipeline_tag="text-to-image"))
    assert [model.id for model in found] == ["lab/found"]
    assert list(ANYBODY.list_models(filter=["paris", "no-such-tag"])) == []
    info = ANYBODY.model_info("lab/found", files_metadata=True)
    assert info.card_data.license == "apache-2.0"
    assert info.library_name == "diffusers"
    assert [(file.rfilename, file.size) for file in info.siblings] == [("README.md", len(CARD))]
    assert hf.ModelCard.load("lab/found").text.startswith("# A model")
    problem = ""
    try:
        OWNER.upload_file(repo_id="lab/found", path_or_fileobj=b"---\ntags: [a\n---\n", path_in_repo="README.md")
    except ValueError as raised:
        problem = str(raised)
    assert "Invalid metadata" in problem
    assert [d.id for d in ANYBODY.list_datasets(author="nobody")] == []


CHAPTERS = {
    chapter.__name__: chapter
    for chapter in (
        accounts_and_repos,
        uploads_and_downloads,
        commits_and_revisions,
        pull_requests,
        drafts_and_merges,
        finding_models,
    )
}

if __name__ == "__main__":
    for name in sys.argv[1:] or CHAPTERS:
        CHAPTERS[name]()
        print("done", name)

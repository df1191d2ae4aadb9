"""A stand-in for the package ``huggingface_hub``: repositories are folders. Nothing is asked of a network."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class RepositoryNotFoundError(OSError):
    """As the package's: of this name."""


class HuggingFace:
    """What the package's calls have in common with it: names, parameters, and what is committed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commits: list[str] = []
        self.private: set[str] = set()

    @property
    def module(self) -> Any:
        return SimpleNamespace(HfApi=lambda: self, snapshot_download=self.snapshot_download)

    def create_repo(self, repo_id: str, *, private: bool | None = None, exist_ok: bool = False) -> None:
        (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        (self.root / repo_id / ".gitattributes").touch()
        self.private |= {repo_id} if private else set()

    def list_repo_files(self, repo_id: str) -> list[str]:
        return [path.name for path in (self.root / repo_id).iterdir()]

    def upload_folder(
        self, *, repo_id: str, folder_path: Any, commit_message: str, delete_patterns: list[str] | None
    ) -> None:
        for path in (self.root / repo_id).iterdir() if delete_patterns else ():
            if any(fnmatch(path.name, pattern) for pattern in delete_patterns or ()):
                path.unlink()
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        self.commits.append(commit_message)

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        folder = self.root / repo_id
        if not folder.is_dir():
            raise RepositoryNotFoundError(f"404 Client Error.\nRepository Not Found for {repo_id}")
        cached = self.root / "cache" / repo_id / (revision or "main")
        for path in folder.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                cached.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, cached)
        return str(cached)

#!/bin/sh
# Makes the commits of TestSSHSignatures anew, with keys that are thrown away.
set -eu
out=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export HOME="$dir" GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.com
export GIT_AUTHOR_DATE=2026-03-02T12:00:00Z GIT_COMMITTER_DATE=2026-03-02T12:00:00Z
git init -q
for kind in ed25519 ecdsa rsa; do
	ssh-keygen -q -t $kind -N '' -C '' -f $kind
done
ssh-keygen -q -t ed25519 -N '' -C '' -f ca
ssh-keygen -q -t ed25519 -N '' -C '' -f cert
ssh-keygen -q -s ca -I a -n a@example.com -V 20260301:20360301 cert.pub
sign() { # name, key
	git checkout -q --orphan "$1"
	git -c gpg.format=ssh -c user.signingKey="$dir/$2" commit -q -S --allow-empty -m 'Change the fleet.'
	git cat-file commit HEAD >"$out/$1.commit"
}
for kind in ed25519 ecdsa rsa; do sign $kind $kind; cp $kind.pub "$out"; done
sign cert cert-cert.pub
cp ca.pub "$out"
# The same content, signed for another namespace than git.
git checkout -q --orphan plain
git commit -q --allow-empty -m 'Change the fleet.'
git cat-file commit HEAD >plain
ssh-keygen -q -Y sign -f ed25519 -n file plain
awk 'NR==FNR { s = s (NR > 1 ? "\n " : "gpgsig ") $0; next } $0 == "" && !done { print s; done = 1 } { print }' plain.sig plain >"$out/file.commit"

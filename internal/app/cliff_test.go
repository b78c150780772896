package app_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/pem"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// bad is a head of Git that must change nothing.
type bad struct {
	name   string
	push   func(t *testing.T, r *rig)
	reason string // lanyard_revision_held
	says   string // in the finding revision-stale
}

func badHeads() []bad {
	return []bad{
		{"broken", func(t *testing.T, r *rig) {
			r.commit(t, map[string]string{"demo/broken.yaml": "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: a, namespace: demo}\nspec:\n  roleARN: nonsense\n"})
		}, "invalid", "demo/broken.yaml:5:12 "},
		{"truncated", func(t *testing.T, r *rig) {
			r.commit(t, map[string]string{"demo/broken.yaml": "apiVersion: lanyard.io/v1alpha1\nkind: Ident"})
		}, "invalid", "demo/broken.yaml:2:"},
		{"empty", func(t *testing.T, r *rig) {
			r.commit(t, map[string]string{"README": "gone"}, "batch", "cross", "demo", "demo2", "external-secrets", "karpenter", "kube-system", "late", "payments", "tf-demo", "win-demo")
		}, "empty", "has no mapping"},
		{"no tree at all", func(t *testing.T, r *rig) {
			if err := r.repo.DeleteBranch("main"); err != nil {
				t.Fatal(err)
			}
		}, "unreachable", "main"},
		{"rewound", func(t *testing.T, r *rig) {
			hash, err := r.repo.Import("other", r.fleet, gitd.By(r.Clock.Now().Add(time.Second)))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.repo.SetBranch("main", hash); err != nil {
				t.Fatal(err)
			}
		}, "rewound", "does not descend"},
	}
}

// held asserts that the daemon keeps to the accepted revision, and says why.
func (r *rig) held(t *testing.T, d *runningDaemon, b bad, accepted string, wrote int) {
	t.Helper()
	r.until(t, "the head is held", func() bool {
		return d.metric(t, `lanyard_revision_held{reason="`+b.reason+`"} 1`) != ""
	})
	r.pass(t, 5*time.Minute)
	if more := r.identityWrites(); len(more) != wrote {
		t.Errorf("the head changed something: %v", more[wrote:])
	}
	var f findingsSeen
	d.api(t, "/api/v1/findings", &f)
	stale := f.kinds("revision-stale")
	if len(stale) == 0 || !strings.Contains(strings.Join(stale, "\n"), b.says) {
		t.Errorf("findings revision-stale %v; want one with %q", stale, b.says)
	}
	if !strings.HasSuffix(f.Revision, accepted) {
		t.Errorf("revision %s in force; want %s", f.Revision, accepted)
	}
	if d.metric(t, `lanyard_findings{`) == "" || d.metric(t, `lanyard_findings{kind="revision-stale"`) == "" {
		t.Errorf("no metric counts revision-stale:\n%s", d.metric(t, "lanyard_findings"))
	}
}

// TestCliff (law 5): a broken, truncated, empty, vanished or force-pushed head changes
// nothing, says so, and the next good commit clears it; the same after a restart in
// between.
func TestCliff(t *testing.T) {
	t.Parallel()
	for _, b := range badHeads() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.setConfig(t, "prune: never", "prune: owned")
			d := r.start(t)
			r.settled(t, d)
			accepted, wrote := r.head(t), len(r.identityWrites())
			if err := r.repo.SetBranch("keep", accepted); err != nil { // as a Git host keeps what was there
				t.Fatal(err)
			}
			b.push(t, r)
			r.held(t, d, b, accepted, wrote)

			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
			d = r.start(t)
			r.held(t, d, b, accepted, wrote)

			if err := r.repo.SetBranch("main", accepted); err != nil {
				t.Fatal(err)
			}
			r.commit(t, map[string]string{"note.txt": "good again"})
			r.until(t, "the next good commit is followed", func() bool {
				var f findingsSeen
				d.api(t, "/api/v1/findings", &f)
				return strings.HasSuffix(f.Revision, r.head(t)) && len(f.kinds("revision-stale")) == 0
			})
			if line := d.metric(t, `lanyard_revision_held{reason="`+b.reason+`"} 1`); line != "" {
				t.Errorf("still %s", line)
			}
			if got := r.lease(t).Annotations["lanyard.io/accepted-revision"]; got != r.head(t) {
				t.Errorf("the Lease remembers %s; want %s", got, r.head(t))
			}
		})
	}
}

// TestRewoundAcceptIsSpent (law 5): source.accept lets its commit in once. A branch that
// is rewound to it later is held, until the operator has set it anew.
func TestRewoundAcceptIsSpent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.settled(t, d)
	orphan, err := r.repo.Import("other", r.fleet, gitd.By(r.Clock.Now().Add(time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.repo.SetBranch("main", orphan); err != nil {
		t.Fatal(err)
	}
	held := func(d *runningDaemon) string {
		var s statusSeen
		d.api(t, "/api/v1/status", &s)
		if s.Daemon.Source.Held == nil || s.Daemon.Source.Held.Head != orphan {
			return ""
		}
		return s.Daemon.Source.Held.Message
	}
	accepted := func(commit string) func() bool {
		return func() bool { return r.lease(t).Annotations["lanyard.io/accepted-revision"] == commit }
	}
	r.until(t, "the replaced branch is held", func() bool { return strings.Contains(held(d), "set source.accept to "+orphan) })
	r.setConfig(t, "source:\n", "source:\n  accept: "+orphan+"\n")
	r.until(t, "it is accepted", accepted(orphan))

	next := r.commit(t, map[string]string{"note.txt": "goes on"})
	r.until(t, "its child is accepted", accepted(next))
	if err := r.repo.SetBranch("main", orphan); err != nil {
		t.Fatal(err)
	}
	if err := r.repo.SetBranch("keep", next); err != nil {
		t.Fatal(err)
	}
	const spent = "let this commit in once already"
	r.until(t, "the rewound branch is held", func() bool { return strings.Contains(held(d), spent) })
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	d = r.start(t)
	r.until(t, "the same after a restart", func() bool { return strings.Contains(held(d), spent) })
	if !accepted(next)() {
		t.Errorf("the Lease remembers %v; want %s", r.lease(t).Annotations, next)
	}

	r.setConfig(t, "  accept: "+orphan+"\n", "")
	r.until(t, "the Lease forgets it", func() bool { return r.lease(t).Annotations["lanyard.io/accept-spent"] == "" })
	r.setConfig(t, "source:\n", "source:\n  accept: "+orphan+"\n")
	r.until(t, "set anew, it counts again", accepted(orphan))
}

// TestCliffMassRemoval (law 5): a commit that takes most of the mappings out is
// followed, but removes nothing until the configuration accepts that commit.
func TestCliffMassRemoval(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.setConfig(t, "prune: never", "prune: owned")
	d := r.start(t)
	r.settled(t, d)
	wrote := len(r.identityWrites())
	r.commit(t, nil, "demo2", "payments", "kube-system", "demo", "batch")
	r.until(t, "mapping-gone shows", func() bool {
		var f findingsSeen
		d.api(t, "/api/v1/findings", &f)
		return len(f.kinds("mapping-gone")) > 0
	})
	r.pass(t, 30*time.Minute) // less than a session lives: the SDK's clock is the wall's
	if more := r.identityWrites(); len(more) != wrote {
		t.Errorf("wrote %v; want nothing before the commit is accepted", more[wrote:])
	}
	if line := d.metric(t, `lanyard_holds{reason="mass-removal"}`); line == "" || strings.HasSuffix(line, " 0") {
		t.Errorf("holds\n%s\nwant mass-removal", d.metric(t, "lanyard_holds{")+"\n"+d.metric(t, "lanyard_gaps"))
	}
}

// TestLastAcceptedIsGone (law 5): where the repository no longer hands out the commit
// that was accepted last, a restarted daemon knows nothing, says so, and writes nothing.
func TestLastAcceptedIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.settled(t, d)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	for _, b := range badHeads() {
		if b.name == "rewound" {
			b.push(t, r)
		}
	}
	r.drift(t)
	wrote := len(r.identityWrites())
	d = r.start(t)
	r.until(t, "the rewound head shows", func() bool { return d.metric(t, `lanyard_revision_held{reason="rewound"} 1`) != "" })
	r.pass(t, 10*time.Minute)
	if more := r.identityWrites()[wrote:]; len(more) > 0 {
		t.Errorf("wrote %v; want nothing", more)
	}
	var s statusSeen
	if code := d.api(t, "/api/v1/status", &s); code != http.StatusServiceUnavailable || s.Daemon.Source.Held == nil || s.Daemon.Source.Held.Reason != "rewound" {
		t.Errorf("status %d %+v; want 503 and the rewound head", code, s.Daemon.Source)
	}
	if code, _ := d.get(t, "/readyz", ""); code != http.StatusServiceUnavailable {
		t.Errorf("readyz answers %d; want 503", code)
	}
}

// TestLastAcceptedSurvivesARestart (law 9): a daemon that starts while the head is bad
// knows from the Lease what was accepted, and repairs drift by it.
func TestLastAcceptedSurvivesARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.settled(t, d)
	accepted := r.head(t)
	if got := r.lease(t).Annotations["lanyard.io/accepted-revision"]; got != accepted {
		t.Fatalf("the Lease remembers %q; want %s", got, accepted)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if holder := r.lease(t).Spec.HolderIdentity; holder != nil && *holder != "" {
		t.Errorf("the Lease is still held by %q after an orderly end", *holder)
	}
	badHeads()[0].push(t, r)
	r.drift(t)
	wrote := len(r.identityWrites())
	d = r.start(t)
	r.settled(t, d)
	if more := r.identityWrites()[wrote:]; len(more) == 0 {
		t.Error("drift was not repaired by the last accepted revision")
	}
	var s statusSeen
	if d.api(t, "/api/v1/status", &s); s.Daemon.Source.Held == nil || !strings.HasSuffix(s.Daemon.Source.Accepted, accepted) {
		t.Errorf("status %+v; want the broken head held and %s accepted", s.Daemon.Source, accepted)
	}
}

// TestRewoundIsFollowedOnceAccepted: source.accept with the commit lets a rewound head
// in, without a restart.
func TestRewoundIsFollowedOnceAccepted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.settled(t, d)
	accepted, wrote := r.head(t), len(r.identityWrites())
	for _, b := range badHeads() {
		if b.name == "rewound" {
			b.push(t, r)
			r.held(t, d, b, accepted, wrote)
		}
	}
	r.setConfig(t, "source:\n", "source:\n  accept: "+r.head(t)+"\n")
	r.until(t, "the accepted head is followed", func() bool {
		var f findingsSeen
		d.api(t, "/api/v1/findings", &f)
		return strings.HasSuffix(f.Revision, r.head(t)) && len(f.kinds("revision-stale")) == 0
	})
}

// TestUnsignedHeadChangesNothing: with a key configured a head without its signature is
// held, and a signed one is followed.
func TestUnsignedHeadChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	signers := filepath.Join(t.TempDir(), "signers")
	r.write(t, signers, "dev@example.com "+string(ssh.MarshalAuthorizedKey(key.PublicKey())))
	r.setConfig(t, "source:\n", "source:\n  verify: {allowedSignersFile: "+signers+"}\n")
	r.sign(t, key)
	d := r.start(t)
	r.settled(t, d)
	accepted, wrote := r.head(t), len(r.identityWrites())
	r.commit(t, nil, "payments")
	b := bad{name: "unsigned", reason: "unsigned", says: "sign"}
	r.held(t, d, b, accepted, wrote)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	d = r.start(t)
	r.held(t, d, b, accepted, wrote)
	r.sign(t, key)
	r.until(t, "the signed head is followed", func() bool {
		var f findingsSeen
		d.api(t, "/api/v1/findings", &f)
		return strings.HasSuffix(f.Revision, r.head(t)) && len(f.kinds("revision-stale")) == 0
	})
}

// sign replaces the head of main by the same commit with an SSH signature.
// Source: https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig
func (r *rig) sign(t *testing.T, key ssh.Signer) {
	t.Helper()
	raw := r.run(t, nil, "cat-file", "commit", "main")
	hash := sha512.Sum512([]byte(raw))
	signature, err := key.Sign(rand.Reader, append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{"git", "", "sha512", hash[:]})...))
	if err != nil {
		t.Fatal(err)
	}
	blob := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Version                   uint32
		Key                       []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}{1, key.PublicKey().Marshal(), "git", "", "sha512", ssh.Marshal(signature)})...)
	armoured := strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob})))
	header, message, _ := strings.Cut(raw, "\n\n")
	signed := header + "\ngpgsig " + strings.ReplaceAll(armoured, "\n", "\n ") + "\n\n" + message
	commit := strings.TrimSpace(r.run(t, []byte(signed), "hash-object", "-t", "commit", "-w", "--stdin"))
	if err := r.repo.SetBranch("main", commit); err != nil {
		t.Fatal(err)
	}
}

// run runs git in the repository.
func (r *rig) run(t *testing.T, input []byte, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"--git-dir", r.repo.Dir}, args...)...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %v: %v", args, err)
	}
	return string(out)
}

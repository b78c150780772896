package desired_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
)

// head begins a mapping; a test adds its spec.
const head = "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: api, namespace: demo}\n"

// role is a line of a spec.
const role = "roleARN: arn:aws:iam::123456789012:role/api"

// irsaDefaults are the defaults of the directory, from which a mapping may take its mechanism.
const irsaDefaults = "apiVersion: lanyard.io/v1alpha1\nkind: IdentityDefaults\nspec: {mechanism: irsa, " + role + "}\n"

// read parses a file beside defaults.
func read(t testing.TB, data []byte) *desired.Repository {
	t.Helper()
	repo, err := desired.Parse(fstest.MapFS{"a.yaml": {Data: data}, "defaults.yaml": {Data: []byte(irsaDefaults)}}, nil, worktree)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return repo
}

// flipAll asks for Pod Identity wherever a revision says IRSA for lab.
func flipAll(t testing.TB, repo *desired.Repository) []desired.Flip {
	t.Helper()
	state, err := repo.For(lab)
	if err != nil {
		t.Fatal(err)
	}
	var flips []desired.Flip
	for _, m := range state.Mappings {
		if m.Mechanism == identity.IRSA {
			flips = append(flips, desired.Flip{At: m.At, To: identity.PodIdentity})
		}
	}
	return flips
}

// TestRewrite: what is changed, and that it is all that is, with either kind of line break.
func TestRewrite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, before, after string }{
		{"block", head + "spec:\n  " + role + "\n  mechanism: irsa\n", head + "spec:\n  " + role + "\n  mechanism: pod-identity\n"},
		{"a comment behind", head + "spec:\n  mechanism:   irsa   # why: irsa\t\n  " + role + "\n", head + "spec:\n  mechanism:   pod-identity   # why: irsa\t\n  " + role + "\n"},
		{"double quotes", head + "spec:\n  mechanism: \"irsa\"\n", head + "spec:\n  mechanism: \"pod-identity\"\n"},
		{"single quotes", head + "spec:\n  mechanism: 'irsa'\n", head + "spec:\n  mechanism: 'pod-identity'\n"},
		{"a quoted key", head + "spec:\n  'mechanism' : irsa\n", head + "spec:\n  'mechanism' : pod-identity\n"},
		{"an explicit key", head + "spec:\n  ? mechanism\n  : irsa\n", head + "spec:\n  ? mechanism\n  : pod-identity\n"},
		{"the value on its own line", head + "spec:\n  mechanism:\n    # irsa\n    irsa\n", head + "spec:\n  mechanism:\n    # irsa\n    pod-identity\n"},
		{"flow", head + "spec: {mechanism: irsa, adopt: [trust]}\n", head + "spec: {mechanism: pod-identity, adopt: [trust]}\n"},
		{"flow with tabs", head + "spec: {\t\tmechanism:\tirsa\t}\n", head + "spec: {\t\tmechanism:\tpod-identity\t}\n"},
		{"JSON", `{"apiVersion":"lanyard.io/v1alpha1","kind":"IdentityMapping","metadata":{"name":"api","namespace":"demo"},"spec":{"mechanism":"irsa"}}`,
			`{"apiVersion":"lanyard.io/v1alpha1","kind":"IdentityMapping","metadata":{"name":"api","namespace":"demo"},"spec":{"mechanism":"pod-identity"}}`},
		{"no line break at the end", head + "spec:\n  mechanism: irsa", head + "spec:\n  mechanism: pod-identity"},
		{"unicode before it", head + "spec: {migration: {hold: \"Ärger 🦊 e\u0301 漢字\"}, mechanism: irsa}\n", head + "spec: {migration: {hold: \"Ärger 🦊 e\u0301 漢字\"}, mechanism: pod-identity}\n"},
		{"a byte order mark", "\ufeff" + head + "spec: {mechanism: irsa}\n", "\ufeff" + head + "spec: {mechanism: pod-identity}\n"},
		{"a byte order mark and one line", "\ufeff{apiVersion: lanyard.io/v1alpha1, kind: IdentityMapping, metadata: {name: api, namespace: demo}, spec: {mechanism: irsa}}",
			"\ufeff{apiVersion: lanyard.io/v1alpha1, kind: IdentityMapping, metadata: {name: api, namespace: demo}, spec: {mechanism: pod-identity}}"},
		{"line breaks of other kinds", head + "# a\u2028# b\u0085# c\rspec:\r  " + role + "\r\n  mechanism: irsa\n", head + "# a\u2028# b\u0085# c\rspec:\r  " + role + "\r\n  mechanism: pod-identity\n"},
		{"trailing spaces", head + "spec:   \n  mechanism: irsa   \n  \n   \n", head + "spec:   \n  mechanism: pod-identity   \n  \n   \n"},
		{"anchors elsewhere", head + "spec:\n  " + strings.Replace(role, ": ", ": &r ", 1) + "\n  podIdentity: {targetRoleARN: *r}\n  mechanism: irsa\n", head + "spec:\n  " + strings.Replace(role, ": ", ": &r ", 1) + "\n  podIdentity: {targetRoleARN: *r}\n  mechanism: pod-identity\n"},

		{"inherited, beside a role", head + "spec:\n    " + role + " # the role\n    # tuned\n    irsa: {audience: x}\n", head + "spec:\n    " + role + " # the role\n    mechanism: pod-identity\n    # tuned\n    irsa: {audience: x}\n"},
		{"inherited, beside a last role", head + "spec:\n  " + role, head + "spec:\n  " + role + "\n  mechanism: pod-identity"},
		{"inherited, with the role", head + "spec: # here\n  # tuned\n  irsa: {audience: x}\n", head + "spec: # here\n  mechanism: pod-identity\n  # tuned\n  irsa: {audience: x}\n"},
		{"inherited, with a folded role", head + "spec:\n  roleARN: >-\n    arn:aws:iam::123456789012:role/api\n", head + "spec:\n  mechanism: pod-identity\n  roleARN: >-\n    arn:aws:iam::123456789012:role/api\n"},
		{"inherited, beside a role on its own line", head + "spec:\n  roleARN:\n    arn:aws:iam::123456789012:role/api\n  adopt: []\n", head + "spec:\n  roleARN:\n    arn:aws:iam::123456789012:role/api\n  mechanism: pod-identity\n  adopt: []\n"},
		{"inherited, beside a role with an anchor", head + "spec:\n  roleARN: &r arn:aws:iam::123456789012:role/api\n", head + "spec:\n  mechanism: pod-identity\n  roleARN: &r arn:aws:iam::123456789012:role/api\n"},
		{"inherited, beside an alias", head + "spec:\n  podIdentity: {targetRoleARN: &r arn:aws:iam::123456789012:role/api}\n  roleARN: *r # same\n", head + "spec:\n  podIdentity: {targetRoleARN: &r arn:aws:iam::123456789012:role/api}\n  roleARN: *r # same\n  mechanism: pod-identity\n"},
		{"inherited, in flow beside a role", head + "spec: {" + role + "}\n", head + "spec: {" + role + ", mechanism: pod-identity}\n"},
		{"inherited, in flow", head + "spec: { irsa: {audience: x}}\n", head + "spec: { mechanism: pod-identity, irsa: {audience: x}}\n"},
		{"inherited, in JSON", head + `spec: {"roleARN":"arn:aws:iam::123456789012:role/api","adopt":[]}`, head + `spec: {"roleARN":"arn:aws:iam::123456789012:role/api", "mechanism": "pod-identity","adopt":[]}`},
		{"inherited, all of it", head + "spec: {}\n", head + "spec: {mechanism: pod-identity}\n"},
		{"inherited, all of it, in JSON", `{"apiVersion":"lanyard.io/v1alpha1","kind":"IdentityMapping","metadata":{"name":"api","namespace":"demo"},"spec":{}}`,
			`{"apiVersion":"lanyard.io/v1alpha1","kind":"IdentityMapping","metadata":{"name":"api","namespace":"demo"},"spec":{"mechanism": "pod-identity"}}`},
	} {
		for _, breaks := range []string{"\n", "\r\n"} {
			t.Run(fmt.Sprintf("%s %q", tt.name, breaks), func(t *testing.T) {
				t.Parallel()
				before, after := tt.before, tt.after
				if breaks != "\n" {
					before, after = crlf(before), crlf(after)
				}
				repo := read(t, []byte(before))
				flips := flipAll(t, repo)
				got, err := desired.Rewrite("a.yaml", []byte(before), flips)
				if err != nil || string(got) != after {
					t.Fatalf("Rewrite(%q)\n got %q, %v\nwant %q", before, got, err, after)
				}
				if err := desired.OnlyFlipped(repo, read(t, got), flips); err != nil || len(flips) != 1 {
					t.Errorf("%d flips, %v", len(flips), err)
				}
			})
		}
	}
}

// crlf ends every line as Windows does; those that do already stay.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// TestRewriteRefuses: what others share, and what is not found, is left to a person.
func TestRewriteRefuses(t *testing.T) {
	t.Parallel()
	const labelled = "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\n"
	for _, tt := range []struct{ name, data, want string }{
		{"an alias", labelled + "metadata: {name: &n irsa, namespace: demo}\nspec: {mechanism: *n}\n",
			"a.yaml:4:19: mechanism is the alias *n, which other values share: write mechanism: pod-identity in its place"},
		{"an anchor", labelled + "spec: {mechanism: &m irsa}\nmetadata: {name: *m, namespace: demo}\n",
			"a.yaml:3:19: mechanism is the anchor &m, which other values share: write mechanism: pod-identity in its place"},
		{"a merge key", head + "spec:\n  <<: {mechanism: irsa}\n  " + role + "\n",
			"a.yaml:5:19: mechanism comes from here by way of a merge key: write mechanism: pod-identity in spec itself, at a.yaml:5:3"},
		{"a tag", head + "spec: {mechanism: !!str irsa}\n", "a.yaml:4:19: mechanism is not written as a plain word: write mechanism: pod-identity"},
		{"an escape", head + "spec: {mechanism: \"\\x69rsa\"}\n", "a.yaml:4:19: mechanism is not written as a plain word: write mechanism: pod-identity"},
		{"a block", head + "spec:\n  mechanism: >-\n    irsa\n", "a.yaml:5:14: mechanism is not written as a plain word: write mechanism: pod-identity"},
		{"a merged spec", head + "<<: {spec: {mechanism: irsa}}\n", "a.yaml:1:1: spec comes by way of a merge key: write mechanism: pod-identity in a spec of its own"},
		{"no place for a line", head + "spec: !!map\n  ? irsa\n  : {audience: x}\n", "a.yaml:4:7: spec has no mechanism, and no place where one can be added: write mechanism: pod-identity in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			flips := flipAll(t, read(t, []byte(tt.data)))
			got, err := desired.Rewrite("a.yaml", []byte(tt.data), flips)
			if got != nil || err == nil || err.Error() != tt.want || len(flips) != 1 {
				t.Errorf("%d flips of %q\n got %q, %v\nwant %s", len(flips), tt.data, got, err, tt.want)
			}
			if all := desired.Refusals("a.yaml", []byte(tt.data), flips); len(all) != 1 || all[0] == nil || all[0].Error() != tt.want {
				t.Errorf("refusals %v, want %s", all, tt.want)
			}
		})
	}
	if all := desired.Refusals("a.yaml", []byte("a: b: c"), make([]desired.Flip, 2)); len(all) != 2 || all[0] == nil || all[1] == nil {
		t.Errorf("no YAML: %v", all)
	}
	_, err := desired.Rewrite("a.yaml", []byte(head+"spec: {}\n"), []desired.Flip{{At: desired.Position{File: "a.yaml", Line: 9, Column: 1}}})
	if err == nil || err.Error() != "a.yaml:9:1: no mapping begins here: read the file again" {
		t.Errorf("a mapping that is gone: %v", err)
	}
}

// TestRewriteWhole changes some of a file that has everything, and compares it with
// what a careful hand would have written.
func TestRewriteWhole(t *testing.T) {
	t.Parallel()
	for _, breaks := range []string{"\n", "\r\n"} {
		data, err := os.ReadFile(filepath.Join("testdata", "rewrite", "laden.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", "rewrite", "laden.want.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if breaks != "\n" {
			data, want = []byte("\ufeff"+crlf(string(data))), []byte("\ufeff"+crlf(string(want)))
		}
		repo := read(t, data)
		flips := flipAll(t, repo)
		refused := desired.Refusals("a.yaml", data, append(slices.Clone(flips), desired.Flip{At: desired.Position{File: "a.yaml"}}))
		if n := len(refused); n != 5 || refused[4] == nil || slices.ContainsFunc(refused[:4], func(err error) bool { return err != nil }) {
			t.Errorf("refusals %v, want one of the last", refused)
		}
		got, err := desired.Rewrite("a.yaml", data, flips)
		if err != nil || len(flips) != 4 {
			t.Fatalf("%d flips: %v", len(flips), err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("with %q (-want +got)\n%s", breaks, cmp.Diff(string(want), string(got)))
		}
		if err := desired.OnlyFlipped(repo, read(t, got), flips); err != nil {
			t.Error(err)
		}
	}
}

// TestOnlyFlipped: the net under a rewrite catches whatever else changes.
func TestOnlyFlipped(t *testing.T) {
	t.Parallel()
	two := head + "spec: {mechanism: irsa}\n---\n" + strings.Replace(head, "name: api", "name: worker", 1) + "spec: {mechanism: irsa, clusters: [\"irsa-*\"]}\n"
	const waiver = "---\napiVersion: lanyard.io/v1alpha1\nkind: AuditWaiver\nspec: {check: trust-too-wide, namespace: demo, serviceAccount: api, owner: me, reason: so, expires: 2030-01-01}\n"
	before := read(t, []byte(two+waiver))
	first := flipAll(t, before)[:1]
	for _, tt := range []struct{ name, old, young, want string }{
		{"as asked", "mechanism: irsa}", "mechanism: pod-identity}", ""},
		{"a line more", "spec: {mechanism: irsa}", "spec:\n  # moved\n  mechanism: pod-identity", ""},
		{"not at all", "", "", "a.yaml:3:18: demo/api would not be changed in its mechanism alone, as was asked: nothing was written"},
		{"the other too", "mechanism: irsa", "mechanism: pod-identity", "a.yaml:8:18: demo/worker would not be changed in its mechanism alone, as was asked: nothing was written"},
		{"another mechanism", "mechanism: irsa}", "mechanism: auto}", "a.yaml:3:18: demo/api would not be"},
		{"more of the same", "mechanism: irsa}", "mechanism: pod-identity, adopt: [trust]}", "a.yaml:3:18: demo/api would not be"},
		{"its role", "mechanism: irsa}", "mechanism: pod-identity, " + role + "s}", "a.yaml:3:18: demo/api would not be"},
		{"clusters", "irsa-*", "irsa-l*", "would not be changed in its mechanism alone"},
		{"a waiver", "trust-too-wide", "trust-undecidable", "a.yaml:13:15: a waiver would change: nothing was written"},
		{"a document less", waiver, "", "the changed files hold 2 mappings, and before 2: nothing was written"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := two + waiver
			if tt.name == "clusters" || tt.name == "a waiver" { // and what was asked
				text = strings.Replace(text, "mechanism: irsa}", "mechanism: pod-identity}", 1)
			}
			err := desired.OnlyFlipped(before, read(t, []byte(strings.ReplaceAll(text, tt.old, tt.young))), first)
			if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if got := before.Clusters(); len(got) != 2 || len(got[first[0].At]) != 0 || strings.Join(got[desired.Position{File: "a.yaml", Line: 8, Column: 18}], " ") != "irsa-*" {
		t.Errorf("clusters %v", got)
	}
	if err := desired.OnlyFlipped(before, before, []desired.Flip{{At: desired.Position{File: "b.yaml"}}}); err == nil || err.Error() != "b.yaml: no mapping stands there: nothing was written" {
		t.Errorf("a flip of nothing: %v", err)
	}
}

// TestRewriteGenerated puts files together from what people write, and takes the change
// apart again: the bytes before and after it are the file's own.
func TestRewriteGenerated(t *testing.T) {
	t.Parallel()
	refused := 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 9))
		pick := func(of ...string) string { return of[r.IntN(len(of))] }
		entry := func(key, value string) string {
			q := pick("", "", `"`, "'")
			k := pick("", "", `"`, "'")
			return k + key + k + pick(": ", ":   ", " : ") + q + value + q
		}
		entries := []string{entry("roleARN", "arn:aws:iam::123456789012:role/a"), pick("irsa: {audience: x}", "migration: {hold: \"漢 🦊 # : irsa\"}", "adopt: [trust, annotation]")}
		if r.IntN(3) > 0 {
			entries = append(entries, entry("mechanism", "irsa"))
		}
		r.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		comment := func() string { return pick("", "", "  # mechanism: irsa ü", " #") }
		text := pick("", "\ufeff") + pick("", "---\n", "# irsa\n--- # x\n") + head
		if r.IntN(3) == 0 {
			text += "spec: " + pick("", " ") + "{" + pick("", " ", "\n  ") + strings.Join(entries, pick(", ", ",", ",\n    ")) + pick("", " ", "\n") + "}" + comment()
		} else {
			indent := strings.Repeat(" ", 1+r.IntN(4))
			text += "spec:" + comment()
			for _, e := range entries {
				text += "\n" + pick("", "\n", indent+"# why\n", "   \n") + indent + e + comment()
			}
		}
		text += pick("", "\n", "\n\n", "\n...\n", "\n---\nkind: X\napiVersion: v1\nmechanism: irsa\n")
		text = strings.ReplaceAll(text, "\n", pick("\n", "\n", "\r\n", "\r"))
		repo := read(t, []byte(text))
		flips := flipAll(t, repo)
		out, err := desired.Rewrite("a.yaml", []byte(text), flips)
		if err != nil {
			refused++
			t.Logf("seed %d: %v\n%q", seed, err, text)
			continue
		}
		if err := desired.OnlyFlipped(repo, read(t, out), flips); err != nil || len(flips) != 1 {
			t.Fatalf("seed %d: %d flips, %v\n%q\n%q", seed, len(flips), err, text, out)
		}
		front, back := common([]byte(text), out)
		gone, came := text[front:len(text)-back], string(out[front:len(out)-back])
		if gone != "" && !strings.Contains("irsa", gone) || !strings.Contains(came, "pod-") && gone == "" || strings.ContainsAny(came, "#") {
			t.Fatalf("seed %d: %q became %q\n%q\n%q", seed, gone, came, text, out)
		}
	}
	if refused > 0 {
		t.Errorf("%d refused, and all of it is plain", refused)
	}
}

// FuzzRewrite: whatever the parser accepts is refused, or says afterwards the same but
// for the mechanism; and outside of one word, or one addition, no byte moves.
func FuzzRewrite(f *testing.F) {
	seed(f, "good", "rewrite")
	for _, s := range []string{"spec: {mechanism: irsa}\n", "spec:\n  " + role + "\n", "spec: {" + role + "}", "spec: {}", "spec:\r\n  mechanism: 'irsa'\r\n", "spec:\n  ? mechanism\n  : \"irsa\"\n"} {
		f.Add([]byte(head + s))
		f.Add([]byte("\ufeff" + strings.ReplaceAll(head+s, "\n", "\u2028")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		files := fstest.MapFS{"a.yaml": {Data: data}, "defaults.yaml": {Data: []byte(irsaDefaults)}}
		before, err := desired.Parse(files, nil, worktree)
		if err != nil {
			return
		}
		state, err := before.For(lab)
		if err != nil {
			return
		}
		for _, m := range state.Mappings {
			to := identity.PodIdentity
			if m.Mechanism == to {
				to = identity.Auto
			}
			flips := []desired.Flip{{At: m.At, To: to}}
			out, err := desired.Rewrite("a.yaml", data, flips)
			if refused := desired.Refusals("a.yaml", data, flips)[0]; (refused == nil) != (err == nil) {
				t.Fatalf("refused: %v, and then: %v\n%q", refused, err, data)
			}
			if err != nil {
				placed(t, data, err)
				continue
			}
			after, err := desired.Parse(fstest.MapFS{"a.yaml": {Data: out}, "defaults.yaml": files["defaults.yaml"]}, nil, worktree)
			if err != nil {
				t.Fatalf("%v\n%q\n%q", err, data, out)
			}
			if err := desired.OnlyFlipped(before, after, flips); err != nil {
				t.Fatalf("%v\n%q\n%q", err, data, out)
			}
			// The same word before and after, so that no letter they share hides a change.
			gone := bytes.Replace(out, []byte(to.String()), []byte(m.Mechanism.String()), 1)
			if m.MechanismAt.File == "a.yaml" && bytes.Count(out, []byte(to.String())) == 1 && !bytes.Equal(gone, data) {
				t.Fatalf("more than a word changed\n%q\n%q", data, out)
			}
			front, back := common(data, out)
			if n := len(data) - front - back; n > len("pod-identity") || n > 0 && strings.ContainsAny(string(data[front:front+n]), "#:\r\n\"' ") {
				t.Fatalf("%q went\n%q\n%q", data[front:front+n], data, out)
			}
		}
	})
}

// common returns how many bytes two texts share at their beginning, and after that at
// their end.
func common(a, b []byte) (front, back int) {
	for front < min(len(a), len(b)) && a[front] == b[front] {
		front++
	}
	for back < min(len(a), len(b))-front && a[len(a)-1-back] == b[len(b)-1-back] {
		back++
	}
	return front, back
}

package trust

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
)

var update = flag.Bool("update", false, "rewrite golden files")

func grantOf(m identity.Mechanism, w identity.Width) Grant {
	return Grant{
		Mechanism: m, Subject: testSubject, Cluster: testCluster, Provider: testProvider,
		Audiences: []string{"sts.amazonaws.com"}, Width: w, SessionTags: true,
	}
}

// The Sid is a format that stands in users' roles: these values never change.
func TestSidIsFrozen(t *testing.T) {
	t.Parallel()
	want := []string{
		"Lanyarde1ba0e98ee55f6a9", "Lanyard622bb93418cef60c", "Lanyarddd3f45bdad9acdd0", "Lanyard763799c5e04303ad", "Lanyardab847344aceae0bf",
	}
	got := OwnSids(testCluster, testSubject)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("OwnSids(%v, %v): -want +got\n%s", testCluster.ARN(), testSubject, diff)
	}
	var each []string
	each = append(each, grantOf(identity.IRSA, identity.WidthBare).Sid())
	for _, w := range widths {
		each = append(each, grantOf(identity.PodIdentity, w).Sid())
	}
	if diff := cmp.Diff(want, each); diff != "" {
		t.Errorf("Grant.Sid: -want +got\n%s", diff)
	}
	for sid, ok := range map[string]bool{
		got[0]: true, "Lanyard": false, "": false, "lanyard0123456789abcdef": false,
		"Lanyard0123456789ABCDEF": false, "Lanyard0123456789abcdef": true, "Lanyard+123456789abcdef": false, "Lanyard0123456789abcdefg": false,
	} {
		if IsLanyardSid(sid) != ok {
			t.Errorf("IsLanyardSid(%q) = %v, want %v", sid, !ok, ok)
		}
	}
}

func TestStatementGolden(t *testing.T) {
	t.Parallel()
	grants := map[string]Grant{"irsa": grantOf(identity.IRSA, 0)}
	several := grants["irsa"]
	several.Audiences = []string{"sts.amazonaws.com", "vault"}
	grants["irsa-audiences"] = several
	for _, w := range widths {
		grants[w.String()] = grantOf(identity.PodIdentity, w)
	}
	off := grantOf(identity.PodIdentity, identity.WidthAccount)
	off.SessionTags = false
	grants["account-untagged"] = off
	for name, g := range grants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := string(g.Statement()) + "\n\n" + g.HCL()
			path := filepath.Join("testdata", "TestStatementGolden", name+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s: -want +got\n%s", path, diff)
			}
			d := mustParse(t, `{"Statement":`+string(g.Statement())+`}`)
			if err := d.Valid(); err != nil {
				t.Fatal(err)
			}
			for _, r := range g.requests() {
				if v := d.Evaluate(r); v.Decision != Allow {
					t.Errorf("the statement does not allow its own subject: %s", v.Reason)
				}
				if v, ok := d.Excess(r, g.Width); ok {
					t.Errorf("the statement is too wide: %s", v.Reason)
				}
			}
		})
	}
}

func TestHCLEscapes(t *testing.T) {
	t.Parallel()
	if got, want := hclString("a\"b\\${c}%{d}\n\u2603😀é"), `"a\"b\\$${c}%%{d}\u000a\u2603\ud83d\ude00é"`; got != want {
		t.Errorf("hclString = %s, want %s", got, want)
	}
}

const (
	foreign = `{ "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole" }`
	mine    = "MINE"
)

func TestAdd(t *testing.T) {
	t.Parallel()
	g := grantOf(identity.PodIdentity, identity.WidthPinned)
	stmt := string(g.Statement())
	off := grantOf(identity.PodIdentity, identity.WidthAccount)
	on := off
	off.SessionTags = false
	for _, tt := range []struct {
		name, doc, want string
		grant           Grant
	}{
		{"to a list", `{"Statement":[` + foreign + `]}`, `{"Statement":[` + foreign + `,MINE]}`, g},
		{"to a spaced list", "{\"Statement\" : [\n  " + foreign + "\n  ]\n}\n", "{\"Statement\" : [\n  " + foreign + ",MINE\n  ]\n}\n", g},
		{"to a single one", `{"Statement": ` + foreign + ` ,"Version":"2008-10-17"}`, `{"Statement": [` + foreign + ",ALONE] ,\"Version\":\"2008-10-17\"}", g},
		{"twice", `{"Statement":[` + foreign + `,MINE]}`, `{"Statement":[` + foreign + `,MINE]}`, g},
		{"there, spelled otherwise", `{"Statement":[` + strings.Replace(stmt, `":"`, `" : "`, 3) + `]}`, `{"Statement":[` + strings.Replace(stmt, `":"`, `" : "`, 3) + `]}`, g},
		{"own Sid, other content", `{"Statement":[` + string(off.Statement()) + ` , ` + foreign + `]}`, `{"Statement":[` + string(on.Statement()) + ` , ` + foreign + `]}`, on},
		{"own of another width", `{"Statement":[` + string(on.Statement()) + `]}`, `{"Statement":[` + string(on.Statement()) + `,MINE]}`, g},
		{"granted by another hand", pods(`{}`), pods(`{}`), g},
		{"granted by a Sid of another mapping", `{"Statement":[` + strings.Replace(string(on.Statement()), on.Sid(), "Lanyard0123456789abcdef", 1) + `]}`, `{"Statement":[` + strings.Replace(string(on.Statement()), on.Sid(), "Lanyard0123456789abcdef", 1) + `,MINE]}`, g},
		{"half granted by another hand", expand(`{"Statement":[{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"}]}`), expand(`{"Statement":[{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"},`) + `MINE]}`, g},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc, want := strings.ReplaceAll(tt.doc, mine, stmt), strings.NewReplacer(mine, stmt, "ALONE", string(tt.grant.statement(true))).Replace(tt.want)
			d := mustParse(t, doc)
			e, err := d.Add(tt.grant, 4096)
			if err != nil {
				t.Fatalf("Add to %s: %v", doc, err)
			}
			if got := e.Document.Text(); got != want || e.Changed != (want != doc) {
				t.Errorf("Add\n to   %s\n got  %s (changed %v)\n want %s", doc, got, e.Changed, want)
			}
			if e.Before != d.Size() || e.After != e.Document.Size() || e.Limit != 4096 {
				t.Errorf("sizes %d, %d, %d, want %d, %d, 4096", e.Before, e.After, e.Limit, d.Size(), e.Document.Size())
			}
		})
	}
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	pinned := grantOf(identity.PodIdentity, identity.WidthPinned)
	web := grantOf(identity.IRSA, 0)
	with := func(g Grant, change func(*Grant)) Grant {
		change(&g)
		return g
	}
	deny := expand(`{"Statement":[` + foreign + `,{"Sid":"No","Effect":"Deny","Principal":"*","Action":"sts:TagSession"}]}`)
	plain := `{"Statement":` + foreign + `}`
	for _, tt := range []struct {
		name  string
		doc   string
		grant Grant
		quota int
		want  error
		text  string
	}{
		{"too large", plain, pinned, 200, ErrQuota, "add statement " + pinned.Sid() + ": 111 characters of 200 are taken, 517 would be needed"},
		{"too large for two widths", plain, pinned, 330, ErrQuota, "trust: account or bare would fit"},
		{"too large, without tags", plain, with(pinned, func(g *Grant) { g.Width, g.SessionTags = identity.WidthAccount, false }), 280, ErrQuota, "trust: bare would fit"},
		{"too large for IRSA", plain, web, 200, ErrQuota, "would be needed"},
		{"denied", deny, pinned, 0, ErrDeniedElsewhere, "statement 2 (No) denies sts:TagSession"},
		{"denied though there", strings.Replace(deny, "[", "["+string(pinned.Statement())+",", 1), pinned, 0, ErrDeniedElsewhere, "denies sts:TagSession"},
		{"denied under its own Sid", `{"Statement":[` + foreign + `,` + strings.Replace(string(pinned.Statement()), `"Allow"`, `"Deny"`, 1) + `]}`, pinned, 0, ErrDeniedElsewhere, "statement 2 (" + pinned.Sid() + ") denies, under lanyard's own Sid"},
		{"deleted principal", strings.Replace(plain, "arn:aws:iam::123456789012:root", "AROAEXAMPLEEXAMPLE123", 1), pinned, 0, ErrDeletedPrincipal, "AROAEXAMPLEEXAMPLE123"},
		{"deleted user among others", `{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":["x","AIDAEXAMPLEEXAMPLE123"]},"Action":"*"}}`, pinned, 0, ErrDeletedPrincipal, "AIDAEXAMPLEEXAMPLE123"},
		{"beyond the grammar", `{"Statement":[]}`, pinned, 0, ErrUneditable, "the list of statements is empty"},
		{"no subject", plain, with(pinned, func(g *Grant) { g.Subject.ServiceAccount = "" }), 0, ErrBadGrant, "no ServiceAccount"},
		{"no cluster", plain, with(pinned, func(g *Grant) { g.Cluster.Region = "" }), 0, ErrBadGrant, "no ARN"},
		{"no mechanism", plain, with(pinned, func(g *Grant) { g.Mechanism = identity.Auto }), 0, ErrBadGrant, "neither irsa nor pod-identity"},
		{"no width", plain, with(pinned, func(g *Grant) { g.Width = 9 }), 0, ErrBadGrant, "width"},
		{"pinned without tags", plain, with(pinned, func(g *Grant) { g.SessionTags = false }), 0, ErrBadGrant, "use account or bare"},
		{"no provider", plain, with(web, func(g *Grant) { g.Provider = "" }), 0, ErrBadGrant, "OIDC provider"},
		{"no audience", plain, with(web, func(g *Grant) { g.Audiences = nil }), 0, ErrBadGrant, "audience"},
		{"audience is a variable", plain, with(web, func(g *Grant) { g.Audiences = []string{"${aws:userid}"} }), 0, ErrBadGrant, "literally"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := mustParse(t, tt.doc)
			e, err := d.Add(tt.grant, tt.quota)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Add to %s: %v, want %q in it", tt.doc, err, tt.text)
			}
			if e.Changed || e.Document != d {
				t.Errorf("a refused Add changed the document: %s", e.Document.Text())
			}
		})
	}
	var q *QuotaError
	_, err := mustParse(t, plain).Add(pinned, 430)
	if !errors.As(err, &q) || !slices.Equal(q.Fits, []identity.Width{identity.WidthCluster, identity.WidthAccount, identity.WidthBare}) {
		t.Errorf("Add over quota: %v, want cluster, account and bare to fit", err)
	}
	if _, err := (*Document)(nil).Add(pinned, 0); !errors.Is(err, ErrUneditable) {
		t.Errorf("Add to no document: %v, want ErrUneditable", err)
	}
}

func TestRemoveSid(t *testing.T) {
	t.Parallel()
	g := grantOf(identity.IRSA, 0)
	stmt, sid := string(g.Statement()), g.Sid()
	for _, tt := range []struct {
		name, doc, want string
		err             error
	}{
		{"last", `{"Statement":[` + foreign + ` , MINE ]}`, `{"Statement":[` + foreign + ` ]}`, nil},
		{"first", `{"Statement":[ MINE , ` + foreign + `]}`, `{"Statement":[ ` + foreign + `]}`, nil},
		{"between", `{"Statement":[` + foreign + `, MINE , ` + foreign + `]}`, `{"Statement":[` + foreign + `, ` + foreign + `]}`, nil},
		{"back to a single one", `{"Statement":[` + foreign + ",ALONE]}", `{"Statement":` + foreign + `}`, nil},
		{"not there", `{"Statement":` + foreign + `}`, `{"Statement":` + foreign + `}`, nil},
		{"only one", `{"Statement":[MINE]}`, "", ErrLastStatement},
		{"a Deny", `{"Statement":[` + strings.Replace(stmt, `"Allow"`, `"Deny"`, 1) + `,` + foreign + `]}`, "", ErrForeign},
		{"only one, alone", `{"Statement":MINE}`, "", ErrLastStatement},
		{"beyond the grammar", `{"Statement":[MINE,{}]}`, "", ErrUneditable},
		{"deleted principal", `{"Statement":[MINE,{"Effect":"Deny","Principal":{"AWS":"AROAEXAMPLEEXAMPLE123"},"Action":"*"}]}`, "", ErrDeletedPrincipal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc, want := strings.NewReplacer(mine, stmt, "ALONE", string(g.statement(true))).Replace(tt.doc), strings.ReplaceAll(tt.want, mine, stmt)
			d := mustParse(t, doc)
			e, err := d.RemoveSid(sid)
			if !errors.Is(err, tt.err) {
				t.Fatalf("RemoveSid from %s: %v, want %v", doc, err, tt.err)
			}
			if tt.err != nil {
				want = doc
			}
			if got := e.Document.Text(); got != want || e.Changed != (want != doc) {
				t.Errorf("RemoveSid\n from %s\n got  %s (changed %v)\n want %s", doc, got, e.Changed, want)
			}
		})
	}
	if _, err := mustParse(t, `{"Statement":`+foreign+`}`).RemoveSid("Reader"); !errors.Is(err, ErrForeign) {
		t.Errorf("RemoveSid of a foreign Sid: %v, want ErrForeign", err)
	}
}

// Add then remove, in any order, gives every document back to the byte.
func TestAddThenRemove(t *testing.T) {
	t.Parallel()
	grants := []Grant{grantOf(identity.IRSA, 0)}
	for _, w := range widths {
		g := grantOf(identity.PodIdentity, w)
		grants = append(grants, g)
		g.Subject.ServiceAccount = "other"
		grants = append(grants, g)
	}
	for _, doc := range []string{
		`{"Statement":` + foreign + `}`,
		`{"Statement":[` + foreign + `]}`,
		"{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    " + foreign + "\n  ]\n}",
		"{\"Statement\" :\n" + foreign + "\n}\n",
		`{"Statement":[` + foreign + `, ` + foreign + ` ],"Id":"x"}`,
	} {
		for shift := range grants {
			d := mustParse(t, doc)
			for _, g := range grants {
				e, err := d.Add(g, 0)
				if err != nil || !e.Changed {
					t.Fatalf("Add to %s: changed %v, %v", d.Text(), e.Changed, err)
				}
				for _, r := range g.requests() {
					if v := e.Document.Evaluate(r); v.Decision != Allow {
						t.Fatalf("after Add to %s: %s", d.Text(), v.Reason)
					}
				}
				again, err := e.Document.Add(g, 0)
				if err != nil || again.Changed {
					t.Fatalf("Add twice to %s: changed %v, %v", d.Text(), again.Changed, err)
				}
				d = e.Document
			}
			for i := range grants {
				e, err := d.RemoveSid(grants[(i+shift)%len(grants)].Sid())
				if err != nil || !e.Changed {
					t.Fatalf("RemoveSid from %s: changed %v, %v", d.Text(), e.Changed, err)
				}
				d = e.Document
			}
			if d.Text() != doc {
				t.Errorf("after Add and RemoveSid from %d on\n got  %q\n want %q", shift, d.Text(), doc)
			}
		}
	}
}

func TestStatements(t *testing.T) {
	t.Parallel()
	d := mustParse(t, `{"Statement":[`+foreign+`, `+string(grantOf(identity.IRSA, 0).Statement())+`]}`)
	got := d.Statements()
	if len(got) != 2 || string(got[0].Raw) != foreign || got[0].Sid != "" || got[1].Index != 1 || got[1].Sid != grantOf(identity.IRSA, 0).Sid() {
		t.Errorf("Statements = %+v", got)
	}
	got[0].Raw[0] = 'x'
	if string(d.Statements()[0].Raw) != foreign {
		t.Error("a caller changed the document through Raw")
	}
}

package trust

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Values that stand on the edge of a rule. Mutants of sync/trust lived there.
func TestBoundaries(t *testing.T) {
	t.Parallel()
	at := podID
	at.Subject.Namespace = "203.0.113.8"
	colons := podID
	colons.SourceARN = "arn:aws:eks:eu-central-1:123456789012:cluster:irsa-lab"
	const account = `{"aws:SourceAccount":123456789012}}`
	run(t, []row{
		{"a key that may be there", web(`{"Null":{"aws:SourceIp":"false"}}`), irsa, Undecidable},
		{"a key that is there for certain", web(`{"Null":{"aws:RequestedRegion":"false"}}`), irsa, Allow},
		{"an address alone is itself", pods(`{"IpAddress":{"aws:RequestTag/kubernetes-namespace":"203.0.113.8"}}`), at, Allow},
		{"an address alone is no neighbour", pods(`{"IpAddress":{"aws:RequestTag/kubernetes-namespace":"203.0.113.9"}}`), at, Deny},
		{"what is no address", pods(`{"IpAddress":{"aws:RequestTag/kubernetes-namespace":"203.0.113.9"}}`), podID, Deny},
		{"what is no number", pods(`{"NumericLessThan":{"aws:RequestTag/kubernetes-namespace":"9"}}`), podID, Deny},
		{"a default of what may be there", pods(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"${aws:SourceIp, 'demo'}"}}`), podID, Undecidable},
		{"a match behind what is unknown", pods(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":["${aws:SourceIp}","demo"]}}`), podID, Allow},
		{"an ARN's account has no colon", pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:eu-central-1:*:irsa-lab"}}`), colons, Deny},
		{"an ARN's resource has", pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:eu-central-1:*:*:irsa-lab"}}`), colons, Allow},
		{"equal", pods(`{"NumericEquals":` + account), podID, Allow},
		{"equal to less", pods(`{"NumericEquals":{"aws:SourceAccount":123456789013}}`), podID, Deny},
		{"less than itself", pods(`{"NumericLessThan":` + account), podID, Deny},
		{"at most itself", pods(`{"NumericLessThanEquals":` + account), podID, Allow},
		{"more than itself", pods(`{"NumericGreaterThan":` + account), podID, Deny},
		{"at least itself", pods(`{"NumericGreaterThanEquals":` + account), podID, Allow},
	})
	if !like(compileGlob("*x?"), "xé") || like(compileGlob("*x?"), "xéé") {
		t.Error("a question mark at the end is not one character")
	}
	two := mustParse(t, expand(`{"Statement":[`+strings.Repeat(`{"Effect":"Allow","Principal":PODS,"Action":"sts:*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.9"}}},`, 2)+foreign+`]}`))
	if v := two.Evaluate(podID); v.Decision != Undecidable || v.Statement != 0 {
		t.Errorf("of two undecidable statements, %+v is told, want the first", v)
	}
	if _, err := Parse(`{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"1":1}`); err == nil {
		t.Error("a ninth name that is the first goes unnoticed")
	}
	if err := mustParse(t, `{"Id":"é","Statement":`+foreign+`}`).Valid(); err != nil {
		t.Errorf("a character of Latin-1 is refused: %v", err)
	}
	if mustParse(t, strings.Replace(`{"Statement":`+foreign+`}`, "{ ", `{"Sid":"a{",`, 1)).Valid() == nil {
		t.Error("a Sid with a brace is taken")
	}
	china := testCaller
	china.Partition = "aws-cn"
	for principal, want := range map[string]Decision{"aws-cn": Allow, "aws": Deny} {
		d := mustParse(t, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:`+principal+`:iam::`+china.Account+`:root"},"Action":"sts:*"}}`)
		if v := d.EvaluateChain(ChainRequest{Caller: china, Subject: testSubject, Cluster: testCluster}); v.Decision != want {
			t.Errorf("the root of partition %s: %v, want %v", principal, v.Decision, want)
		}
	}
}

// A document may be as large as the quota, and not larger.
func TestQuotaToTheCharacter(t *testing.T) {
	t.Parallel()
	d := mustParse(t, `{"Statement":`+foreign+`}`)
	size := func(w identity.Width) int {
		e, err := d.Add(grantOf(identity.PodIdentity, w), 0)
		if err != nil {
			t.Fatal(err)
		}
		return e.After
	}
	pinned, cluster := grantOf(identity.PodIdentity, identity.WidthPinned), size(identity.WidthCluster)
	if e, err := d.Add(pinned, size(identity.WidthPinned)); err != nil || !e.Changed {
		t.Errorf("a document as large as the quota: %v", err)
	}
	var q *QuotaError
	if _, err := d.Add(pinned, size(identity.WidthPinned)-1); !errors.As(err, &q) {
		t.Errorf("one character over the quota: %v", err)
	}
	if _, err := d.Add(pinned, cluster); !errors.As(err, &q) || !slices.Contains(q.Fits, identity.WidthCluster) {
		t.Errorf("trust: cluster fits to the character, and is not offered: %v", err)
	}
	if _, err := d.Add(pinned, cluster-1); !errors.As(err, &q) || slices.Contains(q.Fits, identity.WidthCluster) {
		t.Errorf("trust: cluster is offered, and is one character too large: %v", err)
	}
}

//go:build nightly

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

const podTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`

// TestJavaScriptSDK lets the AWS SDK for JavaScript loose on the sandbox's AWS: proof
// that the double speaks AWS, and not only what the SDK for Go forgives.
func TestJavaScriptSDK(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second) // the SDK compares expiries with the wall clock
	s := awsd.New(awsd.Options{Clock: virtual.NewClock(now)})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const role = "arn:aws:iam::123456789012:role/"
	irsaTrust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity",`+
		`"Condition":{"StringEquals":{"%s:sub":"system:serviceaccount:demo:s3-reader","%s:aud":"sts.amazonaws.com"}}}]}`, provider, host, host)
	externalTrust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/sandbox"},` +
		`"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x/1+2 3"}}}]}`
	must(s.PutAccount(awsd.Account{ID: "123456789012"}))
	must(s.PutAccount(awsd.Account{ID: "210987654321"}))
	must(s.PutCluster(awsd.Cluster{ARN: cluster, Version: "1.35", Issuer: "https://" + host}))
	must(s.PutProvider(awsd.Provider{ARN: provider, ClientIDs: []string{"sts.amazonaws.com"}}))
	must(s.PutRole(awsd.Role{ARN: role + "reader", Trust: podTrust, Description: `reads "all" <of> it & more`, Tags: map[string]string{"team": "a & b < c"}}))
	for name, trust := range map[string]string{"other": podTrust, "writable": podTrust, "throttled": podTrust, "irsa": irsaTrust, "external": externalTrust} {
		must(s.PutRole(awsd.Role{ARN: role + name, Trust: trust}))
	}
	for i := range 25 {
		must(s.PutRole(awsd.Role{ARN: fmt.Sprintf("%smany/r%02d", role, i), Trust: podTrust, Tags: map[string]string{"a": "b"}}))
		_, err := s.PutAssociation(awsd.Association{Cluster: cluster, Namespace: "many", ServiceAccount: fmt.Sprintf("sa-%02d", i), RoleARN: role + "reader"})
		must(err)
	}
	s.AddFault(awsd.Fault{Service: "iam", Operation: "GetRole", Resource: "throttled", Times: 1, Kind: awsd.Throttle})
	url, err := s.Start("127.0.0.1:0")
	must(err)
	t.Cleanup(func() { must(s.Close()) })

	token := func(account string, expires time.Duration) string {
		return awsd.UnsignedToken(awsd.Claims{
			Issuer: "https://" + host, Audience: []string{"sts.amazonaws.com"}, Expires: now.Add(expires),
			Namespace: "demo", ServiceAccount: account, PodName: "p", PodUID: "0c5c1b9e-0000-4000-8000-000000000000",
		})
	}
	id, secret := awsd.AccessKey("123456789012")
	world, err := json.Marshal(map[string]any{
		"url": url, "region": "eu-central-1", "admin": map[string]string{"accessKeyId": id, "secretAccessKey": secret},
		"cluster": cluster, "issuer": "https://" + host, "provider": provider, "trust": podTrust,
		"reader": role + "reader", "other": role + "other", "irsa": role + "irsa", "external": role + "external",
		"tokens": map[string]string{"good": token("s3-reader", time.Hour), "other": token("x", time.Hour), "expired": token("s3-reader", -time.Minute)},
	})
	must(err)

	checks := 0
	for dec := json.NewDecoder(bytes.NewReader(node(t, world, nil, "sdk.mjs"))); dec.More(); checks++ {
		var c struct{ Name, Error string }
		must(dec.Decode(&c))
		t.Run(c.Name, func(t *testing.T) {
			if c.Error != "" {
				t.Error(c.Error)
			}
		})
	}
	const want = 20
	if checks != want {
		t.Errorf("%d checks were made, want %d", checks, want)
	}
	calls, _ := s.Calls(0)
	if strange := slices.IndexFunc(calls, func(c awsd.Call) bool { return c.Operation == "" || strings.HasPrefix(c.ErrorCode, "Unknown") }); strange >= 0 {
		t.Errorf("the double did not know a call: %+v", calls[strange])
	}
}

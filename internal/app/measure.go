package app

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	kubemetrics "k8s.io/client-go/tools/metrics"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/metrics"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

// MeasureKube makes client-go count requests, for a daemon to show. It sets what is
// global in client-go, once and for all clients of the process, so the program calls it
// once, before it makes a daemon.
func MeasureKube() *metrics.Kube {
	k := metrics.NewKube()
	kubemetrics.Register(kubemetrics.RegisterOpts{
		RequestResult: k.Results(), RequestRetry: k.Retries(), RequestLatency: k.Latency(), RateLimiterLatency: k.Waits(),
	})
	return k
}

// called counts an attempt of a call to AWS.
func (d *Daemon) called(service, operation, code string, took time.Duration) {
	d.metrics.AWSCall(service, operation, code, took)
	if _, throttled := retry.DefaultThrottleErrorCodes[code]; throttled {
		d.metrics.AWSThrottled(service)
	}
}

// looked tells of a look at the head of Git.
func (d *Daemon) looked(s gitsource.Standing, err error, took time.Duration) {
	held := s.Held
	if err != nil {
		held, _ = errors.AsType[*gitsource.HeldError](err)
	}
	switch {
	case held != nil:
		d.metrics.Looked(string(heldReasons[held.Reason]), took)
	case err != nil:
		d.metrics.Looked(metrics.Other, took)
	default:
		d.metrics.Looked("", took)
	}
	if config, _ := d.settings.Now(); config.Source.Verify == (desired.Verify{}) {
		return
	}
	switch {
	case held == nil && s.Moved:
		d.metrics.Verified(s.Head.Commit, "")
	case held == nil, held.Head.Commit == "":
	case held.Reason == gitsource.Unverified:
		fault := metrics.Other // the keys cannot be read
		if e, is := errors.AsType[*gitsource.SignatureError](held.Err); is {
			fault = string(e.Fault)
		}
		d.metrics.Verified(held.Head.Commit, fault)
	case held.Reason != gitsource.Unreachable && held.Reason != gitsource.Unreadable: // refused for what came after the signature
		d.metrics.Verified(held.Head.Commit, "")
	}
}

// providerQuota is how many OpenID Connect providers an account may have unless its
// quota was raised. lanyard does not ask for it: that would be another right.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const providerQuota = 100

// quotasOf says how much of AWS's quotas a look saw in use.
func quotasOf(s *live.Snapshot, judged []diff.Judged) (q metrics.Quotas) {
	f := s.Facts()
	if s.Whole(live.SourceListAssociations) {
		q.List = append(q.List, metrics.Quota{Name: "associations", Account: s.Cluster().Account, Used: len(f.Associations), Limit: migrate.AssociationQuota})
	}
	largest := map[string]int{}
	sizes := map[identity.RoleARN]int{}
	for _, r := range f.Roles {
		if doc, presence, err := s.Trust(r.ARN); presence == live.Present && err == nil {
			sizes[r.ARN] = doc.Size()
			largest[r.ARN.Account] = max(largest[r.ARN.Account], doc.Size())
		}
	}
	for _, account := range slices.Sorted(maps.Keys(largest)) {
		limit, _ := s.TrustQuota(account)
		q.List = append(q.List, metrics.Quota{Name: "trust-policy-characters", Account: account, Used: largest[account], Limit: limit})
	}
	for _, a := range f.Accounts {
		switch all, listed := s.Providers(a.ID); {
		case listed == live.Present:
			q.List = append(q.List, metrics.Quota{Name: "oidc-providers", Account: a.ID, Used: len(all), Limit: providerQuota})
		case s.Whole(live.SourceAccountSummary):
			q.List = append(q.List, metrics.Quota{Name: "oidc-providers", Account: a.ID, Used: a.IdentityProviders, Limit: providerQuota})
		}
	}
	for i := range judged {
		m := judged[i].Mapping
		if size, read := sizes[m.Role]; read {
			limit, _ := s.TrustQuota(m.Role.Account)
			q.Trust = append(q.Trust, metrics.TrustPolicy{Subject: m.Subject, Characters: size, Limit: limit})
		}
	}
	return q
}

// seenOf counts what a look saw.
func seenOf(s *live.Snapshot) map[string]int {
	f := s.Facts()
	roles := 0
	for _, r := range f.Roles {
		if r.Presence == live.Present {
			roles++
		}
	}
	return map[string]int{"service-accounts": len(f.ServiceAccounts), "pods": len(f.Pods), "workloads": len(f.Workloads), "nodes": len(f.Nodes),
		"namespaces": len(f.Namespaces), "associations": len(f.Associations), "roles": roles}
}

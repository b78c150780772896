package observe

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// policies collects the permission policies of an account's roles, page by page: a
// managed policy may come on another page than the role that it is attached to.
type policies struct {
	managed map[string]live.Policy // by ARN; without a name
	roles   map[identity.RoleARN][]live.Policy
	bounds  map[identity.RoleARN]live.Policy // their permissions boundaries
	broken  map[identity.RoleARN]bool        // a document of theirs cannot be read
	bad     map[string]bool                  // managed policies that cannot be read
}

func newPolicies() *policies {
	return &policies{managed: map[string]live.Policy{}, roles: map[identity.RoleARN][]live.Policy{}, bounds: map[identity.RoleARN]live.Policy{}, broken: map[identity.RoleARN]bool{}, bad: map[string]bool{}}
}

// add takes a page.
func (p *policies) add(out *iam.GetAccountAuthorizationDetailsOutput) {
	for _, m := range out.Policies {
		arn := aws.ToString(m.Arn)
		i := slices.IndexFunc(m.PolicyVersionList, func(v types.PolicyVersion) bool { return v.IsDefaultVersion })
		if i < 0 {
			p.bad[arn] = true
			continue
		}
		read, err := policyText(m.PolicyVersionList[i].Document)
		if err != nil {
			p.bad[arn] = true
			continue
		}
		p.managed[arn] = read
	}
	for _, d := range out.RoleDetailList {
		arn, err := identity.ParseRoleARN(aws.ToString(d.Arn))
		if err != nil {
			continue
		}
		list := make([]live.Policy, 0, len(d.RolePolicyList)+len(d.AttachedManagedPolicies))
		for _, inline := range d.RolePolicyList {
			read, err := policyText(inline.PolicyDocument)
			p.broken[arn] = p.broken[arn] || err != nil
			read.Name = aws.ToString(inline.PolicyName)
			list = append(list, read)
		}
		for _, attached := range d.AttachedManagedPolicies {
			list = append(list, live.Policy{Name: aws.ToString(attached.PolicyName), ARN: aws.ToString(attached.PolicyArn)})
		}
		p.roles[arn] = list
		if b := d.PermissionsBoundary; b != nil {
			bound := live.Policy{ARN: aws.ToString(b.PermissionsBoundaryArn), Bounds: true}
			bound.Name = bound.ARN[strings.LastIndexByte(bound.ARN, '/')+1:]
			p.bounds[arn] = bound
		}
	}
}

// byRole joins what came, after the last page. A role is left out where one of its
// policies could not be read: AWS's own policies are not, and need not be. A permissions
// boundary grants nothing, so of that only what speaks of the session counts.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
func (p *policies) byRole() map[identity.RoleARN][]live.Policy {
	text := func(arn identity.RoleARN, policy live.Policy) live.Policy {
		if policy.ByAWS() {
			return live.Policy{}
		}
		said, read := p.managed[policy.ARN]
		p.broken[arn] = p.broken[arn] || !read || p.bad[policy.ARN]
		return said
	}
	for arn, list := range p.roles {
		for i, policy := range list {
			if policy.ARN != "" {
				said := text(arn, policy)
				list[i].Statements, list[i].Everywhere = said.Statements, said.Everywhere
			}
		}
		bound, bounded := p.bounds[arn]
		if bounded {
			bound.Statements = slices.DeleteFunc(slices.Clone(text(arn, bound).Statements), func(s live.PolicyStatement) bool { return len(s.Session()) == 0 })
		}
		if len(bound.Statements) > 0 && !slices.ContainsFunc(list, func(attached live.Policy) bool { return attached.ARN == bound.ARN }) {
			list = append(list, bound)
		}
		if p.broken[arn] {
			delete(p.roles, arn)
			continue
		}
		slices.SortFunc(list, func(a, b live.Policy) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ARN, b.ARN)) })
		p.roles[arn] = list
	}
	return p.roles
}

// policyText reads a document as IAM sends it, URL-encoded.
func policyText(document *string) (live.Policy, error) {
	text, err := url.PathUnescape(aws.ToString(document))
	if err != nil {
		return live.Policy{}, err
	}
	return live.ParsePolicy(text)
}

// keepPolicies remembers what a whole sweep told; nil where one ended early.
func (v *visit) keepPolicies(all map[identity.RoleARN][]live.Policy) {
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	v.a.policies, v.a.policiesAt = all, v.now
}

// newcomers reports whether a role is asked for that the latest sweep did not see, and
// long enough ago. One that the look before did not find is none: anybody may ask for it,
// by an annotation. The caller holds the observer's lock.
func (v *visit) newcomers() bool {
	if v.a.policies == nil || v.now.Sub(v.a.policiesAt) < sweepRest {
		return false
	}
	for arn := range v.roles {
		if _, seen := v.a.policies[arn]; !seen && !v.a.missing[arn] {
			return true
		}
	}
	return false
}

// withPolicies returns the roles that the visit read, with their policies.
func (v *visit) withPolicies() []live.Role {
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	out := slices.Collect(maps.Values(v.roles))
	for i, r := range out {
		if list, read := v.a.policies[r.ARN]; read && r.Presence == live.Present {
			out[i].Policies, out[i].PoliciesRead = list, true
		}
	}
	return out
}

// chains reads the trust policies of roles that the visited roles may assume in turn,
// where a policy names them in full and their account is looked at anyway. They are
// looked at with the others from the next look on.
func (o *Observer) chains(ctx context.Context, visits []*visit) {
	byAccount := map[string]*visit{}
	for _, v := range visits {
		byAccount[v.id] = v
	}
	missing := map[string][]identity.RoleARN{}
	o.mu.Lock()
	for _, v := range visits {
		v.a.chained = map[identity.RoleARN]bool{} // what no policy names any more is forgotten
		v.a.missing = map[identity.RoleARN]bool{}
		for arn, r := range v.roles {
			if r.Presence == live.Absent {
				v.a.missing[arn] = true
			}
		}
	}
	for _, v := range visits {
		for arn := range v.roles {
			for _, target := range targetsOf(v.a.policies[arn]) {
				at := byAccount[target.Account]
				if at == nil || at.shut != nil {
					continue
				}
				at.a.chained[target] = true
				if _, known := at.roles[target]; !known && !slices.Contains(missing[target.Account], target) {
					missing[target.Account] = append(missing[target.Account], target)
				}
			}
		}
	}
	o.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(missing)) {
		slices.SortFunc(missing[id], identity.RoleARN.Compare)
		v, want := byAccount[id], missing[id][:min(len(missing[id]), maxAgain)]
		for _, arn := range want {
			v.roles[arn] = live.Role{ARN: arn}
		}
		v.singly(ctx, want)
	}
}

// targetsOf are the roles that policies allow to assume, by their full ARNs.
func targetsOf(list []live.Policy) []identity.RoleARN {
	var out []identity.RoleARN
	for _, p := range list {
		for _, s := range p.Statements {
			if s.Deny || !s.Takes(live.ActionAssumeRole) {
				continue
			}
			for _, r := range s.Resources {
				if arn, err := identity.ParseRoleARN(r); err == nil && !strings.ContainsAny(r, "*?$") {
					out = append(out, arn)
				}
			}
		}
	}
	return out
}

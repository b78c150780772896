package observe

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// counted is an AWS that answers from memory and counts.
type counted struct {
	mu           sync.Mutex
	n            map[string]int
	size, addOns int
}

func (c *counted) count(op string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[op]++
}

func (c *counted) roleARN(i int) string {
	return fmt.Sprintf("arn:aws:iam::123456789012:role/r%04d", i)
}

func (c *counted) DescribeCluster(context.Context, *eks.DescribeClusterInput, ...func(*eks.Options)) (*eks.DescribeClusterOutput, error) {
	c.count("DescribeCluster")
	return &eks.DescribeClusterOutput{Cluster: &ekstypes.Cluster{Name: aws.String("irsa-lab"), Arn: aws.String(lab),
		Identity: &ekstypes.Identity{Oidc: &ekstypes.OIDC{Issuer: aws.String(issuer)}}}}, nil
}

// cut answers which items a page has and the token of the next.
func cut(token *string, size, all int) (from, to int, more *string) {
	from, _ = strconv.Atoi(aws.ToString(token))
	to = min(from+size, all)
	if to < all {
		more = aws.String(strconv.Itoa(to))
	}
	return from, to, more
}

func (c *counted) ListPodIdentityAssociations(_ context.Context, in *eks.ListPodIdentityAssociationsInput, _ ...func(*eks.Options)) (*eks.ListPodIdentityAssociationsOutput, error) {
	c.count("ListPodIdentityAssociations")
	from, to, more := cut(in.NextToken, 100, c.size)
	out := &eks.ListPodIdentityAssociationsOutput{NextToken: more}
	for i := from; i < to; i++ {
		out.Associations = append(out.Associations, ekstypes.PodIdentityAssociationSummary{
			AssociationId: aws.String(strconv.Itoa(i)), Namespace: aws.String("demo"), ServiceAccount: aws.String(fmt.Sprintf("sa-%04d", i))})
	}
	return out, nil
}

func (c *counted) DescribePodIdentityAssociation(_ context.Context, in *eks.DescribePodIdentityAssociationInput, _ ...func(*eks.Options)) (*eks.DescribePodIdentityAssociationOutput, error) {
	c.count("DescribePodIdentityAssociation")
	i, _ := strconv.Atoi(*in.AssociationId)
	return &eks.DescribePodIdentityAssociationOutput{Association: &ekstypes.PodIdentityAssociation{
		AssociationId: in.AssociationId, Namespace: aws.String("demo"), ServiceAccount: aws.String(fmt.Sprintf("sa-%04d", i)), RoleArn: aws.String(c.roleARN(i))}}, nil
}

func (c *counted) ListAddons(context.Context, *eks.ListAddonsInput, ...func(*eks.Options)) (*eks.ListAddonsOutput, error) {
	c.count("ListAddons")
	out := &eks.ListAddonsOutput{}
	for i := range c.addOns {
		out.Addons = append(out.Addons, strconv.Itoa(i))
	}
	return out, nil
}

func (c *counted) DescribeAddon(context.Context, *eks.DescribeAddonInput, ...func(*eks.Options)) (*eks.DescribeAddonOutput, error) {
	c.count("DescribeAddon")
	return &eks.DescribeAddonOutput{Addon: &ekstypes.Addon{}}, nil
}

func (c *counted) ListFargateProfiles(context.Context, *eks.ListFargateProfilesInput, ...func(*eks.Options)) (*eks.ListFargateProfilesOutput, error) {
	c.count("ListFargateProfiles")
	return &eks.ListFargateProfilesOutput{FargateProfileNames: []string{"a", "b", "c"}}, nil
}

func (c *counted) DescribeFargateProfile(context.Context, *eks.DescribeFargateProfileInput, ...func(*eks.Options)) (*eks.DescribeFargateProfileOutput, error) {
	c.count("DescribeFargateProfile")
	return &eks.DescribeFargateProfileOutput{FargateProfile: &ekstypes.FargateProfile{}}, nil
}

func (c *counted) DescribeNodegroup(context.Context, *eks.DescribeNodegroupInput, ...func(*eks.Options)) (*eks.DescribeNodegroupOutput, error) {
	c.count("DescribeNodegroup")
	return &eks.DescribeNodegroupOutput{Nodegroup: &ekstypes.Nodegroup{NodeRole: aws.String(c.roleARN(0))}}, nil
}

func (c *counted) GetRole(context.Context, *iam.GetRoleInput, ...func(*iam.Options)) (*iam.GetRoleOutput, error) {
	c.count("GetRole")
	return nil, code("AccessDenied")
}

func (c *counted) ListRoles(context.Context, *iam.ListRolesInput, ...func(*iam.Options)) (*iam.ListRolesOutput, error) {
	c.count("ListRoles")
	return nil, code("AccessDenied")
}

// GetAccountAuthorizationDetails answers a little less than a full page, as IAM may.
func (c *counted) GetAccountAuthorizationDetails(_ context.Context, in *iam.GetAccountAuthorizationDetailsInput, _ ...func(*iam.Options)) (*iam.GetAccountAuthorizationDetailsOutput, error) {
	c.count("GetAccountAuthorizationDetails")
	from, to, more := cut(in.Marker, int(*in.MaxItems)-1, c.size)
	out := &iam.GetAccountAuthorizationDetailsOutput{Marker: more, IsTruncated: more != nil}
	for i := from; i < to; i++ {
		out.RoleDetailList = append(out.RoleDetailList, iamtypes.RoleDetail{Arn: aws.String(c.roleARN(i)), AssumeRolePolicyDocument: aws.String(url.PathEscape(podTrust))})
	}
	return out, nil
}

func (c *counted) GetAccountSummary(context.Context, *iam.GetAccountSummaryInput, ...func(*iam.Options)) (*iam.GetAccountSummaryOutput, error) {
	c.count("GetAccountSummary")
	return &iam.GetAccountSummaryOutput{SummaryMap: map[string]int32{"Roles": int32(c.size), "AssumeRolePolicySizeQuota": 2048}}, nil
}

func (c *counted) ListOpenIDConnectProviders(context.Context, *iam.ListOpenIDConnectProvidersInput, ...func(*iam.Options)) (*iam.ListOpenIDConnectProvidersOutput, error) {
	c.count("ListOpenIDConnectProviders")
	return &iam.ListOpenIDConnectProvidersOutput{}, nil
}

func (c *counted) GetOpenIDConnectProvider(context.Context, *iam.GetOpenIDConnectProviderInput, ...func(*iam.Options)) (*iam.GetOpenIDConnectProviderOutput, error) {
	c.count("GetOpenIDConnectProvider")
	return &iam.GetOpenIDConnectProviderOutput{ClientIDList: []string{"sts.amazonaws.com"}}, nil
}

func (c *counted) GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error) {
	c.count("GetCallerIdentity")
	return &sts.GetCallerIdentityOutput{Arn: aws.String("arn:aws:iam::123456789012:user/x")}, nil
}

// TestCallsFor5000Mappings holds the targets of design.md section 10.
func TestCallsFor5000Mappings(t *testing.T) {
	t.Parallel()
	c := &counted{n: map[string]int{}, size: 5000, addOns: 8}
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	o := New(Options{
		Cluster: "irsa-lab", Kube: fake.NewClientset(), EKS: c, STS: c,
		IAM:    func(string) (IAMReader, error) { return c, nil },
		Issuer: func(context.Context) (string, error) { return issuer, nil },
		Now:    func() time.Time { return now },
		Limits: Limits{EKS: 1e9, IAM: 1e9, Burst: 1e9},
	})
	if err := o.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	roles := make([]identity.RoleARN, c.size)
	for i := range roles {
		arn, err := identity.ParseRoleARN(c.roleARN(i))
		if err != nil {
			t.Fatal(err)
		}
		roles[i] = arn
	}
	round := func() (calls map[string]int, all, besidesDescribe int) {
		t.Helper()
		clear(c.n)
		if _, err := o.Cluster(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := o.Observe(t.Context(), Ask{Roles: roles})
		if err != nil {
			t.Fatal(err)
		}
		wantNoGaps(t, s)
		if got := presenceOf(s, roles...); got != "present" || len(s.Facts().Associations) != c.size {
			t.Fatalf("round: roles %s, %d associations", got, len(s.Facts().Associations))
		}
		for _, a := range s.Facts().Associations {
			if !a.Described {
				t.Fatalf("association %s: not described", a.ID)
			}
		}
		for op, n := range c.n {
			all += n
			if op[:8] != "Describe" && op != "GetCallerIdentity" {
				besidesDescribe += n
			}
		}
		return maps.Clone(c.n), all, besidesDescribe
	}
	calls, _, first := round()
	t.Logf("first round: %d besides Describe: %v", first, calls)
	if first > 60 || calls["DescribePodIdentityAssociation"] != 5000 {
		t.Errorf("first round: got %d EKS and IAM calls besides Describe, want at most 60: %v", first, calls)
	}
	for range 5 {
		now = now.Add(time.Minute)
		calls, all, _ := round()
		if all > 120 {
			t.Errorf("still round: got %d calls, want at most 120: %v", all, calls)
		}
		t.Logf("still round: %d: %v", all, calls)
	}
}

// BenchmarkObserve is a still round of 5,000 mappings, without the network.
func BenchmarkObserve(b *testing.B) {
	c := &counted{n: map[string]int{}, size: 5000, addOns: 8}
	o := New(Options{
		Cluster: "irsa-lab", Kube: fake.NewClientset(), EKS: c, STS: c,
		IAM:    func(string) (IAMReader, error) { return c, nil },
		Issuer: func(context.Context) (string, error) { return issuer, nil },
		Limits: Limits{EKS: 1e9, IAM: 1e9, Burst: 1e9},
	})
	if err := o.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	roles := []identity.RoleARN{}
	for i := range c.size {
		roles = append(roles, live.Role{}.ARN)
		roles[i], _ = identity.ParseRoleARN(c.roleARN(i))
	}
	slices.Reverse(roles)
	for b.Loop() {
		if _, err := o.Observe(b.Context(), Ask{Roles: roles}); err != nil {
			b.Fatal(err)
		}
	}
}

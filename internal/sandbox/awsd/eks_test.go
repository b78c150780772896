package awsd_test

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

var cluster = aws.String("irsa-lab")

func TestDescribeCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	out, err := w.eks(acct).DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: cluster})
	w.must(err)
	got := []any{*out.Cluster.Arn, *out.Cluster.Name, *out.Cluster.Version, *out.Cluster.Identity.Oidc.Issuer, string(out.Cluster.Status), *out.Cluster.CreatedAt,
		out.Cluster.ComputeConfig == nil, out.Cluster.RemoteNetworkConfig == nil, out.Cluster.OutpostConfig == nil}
	want := []any{lab, "irsa-lab", "1.35", issuer, "ACTIVE", w.clock.Now(), true, true, true}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("cluster (-want +got):\n%s", d)
	}
	w.must(w.PutCluster(awsd.Cluster{ARN: lab, AutoMode: true, NodePools: []string{"system"}, RemoteNodeCIDRs: []string{"10.9.0.0/16"}, OutpostARNs: []string{"arn:o"}}))
	out, err = w.eks(acct).DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: cluster})
	w.must(err)
	c := out.Cluster
	if !*c.ComputeConfig.Enabled || c.RemoteNetworkConfig.RemoteNodeNetworks[0].Cidrs[0] != "10.9.0.0/16" || c.OutpostConfig.OutpostArns[0] != "arn:o" || c.Identity != nil {
		t.Errorf("cluster with everything: got %+v", c)
	}
	_, err = w.eks(acct).DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: aws.String("none")})
	wantError(t, err, "ResourceNotFoundException", 404, "No cluster found for name: none.")
	if e := as[*types.ResourceNotFoundException](t, err); aws.ToString(e.ClusterName) != "none" {
		t.Errorf("clusterName in the exception: got %q, want none", aws.ToString(e.ClusterName))
	}
	_, err = w.eks(other).DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: cluster})
	wantError(t, err, "ResourceNotFoundException", 404, "")
	_, err = w.eks(acct).DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: cluster}, func(o *eks.Options) { o.Region = "us-east-1" })
	wantError(t, err, "ResourceNotFoundException", 404, "")
	_, err = w.eks(acct).DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: aws.String("-bad")})
	wantError(t, err, "InvalidParameterException", 400, "invalid")
}

func TestAssociationLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	c := w.eks(acct)
	target := "arn:aws:iam::210987654321:role/shared"
	made, err := c.CreatePodIdentityAssociation(w.ctx(), create("demo", "s3-reader", reader, func(in *eks.CreatePodIdentityAssociationInput) {
		in.Tags, in.TargetRoleArn = map[string]string{"lanyard.io/cluster": "irsa-lab"}, &target
	}))
	w.must(err)
	a := made.Association
	if !regexp.MustCompile(`^a-[0-9a-z]{17}$`).MatchString(*a.AssociationId) {
		t.Errorf("id: got %s, want a- and 17 letters or digits", *a.AssociationId)
	}
	if want := "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/irsa-lab/" + *a.AssociationId; *a.AssociationArn != want {
		t.Errorf("ARN: got %s, want %s", *a.AssociationArn, want)
	}
	if want := "eu-west-1/123456789012/irsa-lab/demo/s3-reader"; aws.ToString(a.ExternalId) != want {
		t.Errorf("externalId: got %q, want %q", aws.ToString(a.ExternalId), want)
	}
	created := w.clock.Now()
	w.clock.Advance(time.Minute)
	second := "arn:aws:iam::123456789012:role/second"
	w.must(w.PutRole(awsd.Role{ARN: second, Trust: podTrust}))
	_, err = c.UpdatePodIdentityAssociation(w.ctx(), &eks.UpdatePodIdentityAssociationInput{ClusterName: cluster, AssociationId: a.AssociationId, RoleArn: &second})
	w.must(err)
	got, err := c.DescribePodIdentityAssociation(w.ctx(), &eks.DescribePodIdentityAssociationInput{ClusterName: cluster, AssociationId: a.AssociationId})
	w.must(err)
	g := got.Association
	if d := gocmp.Diff([]any{second, target, false, created, created.Add(time.Minute), "irsa-lab", "irsa-lab"},
		[]any{*g.RoleArn, *g.TargetRoleArn, *g.DisableSessionTags, *g.CreatedAt, *g.ModifiedAt, *g.ClusterName, g.Tags["lanyard.io/cluster"]}); d != "" {
		t.Errorf("association (-want +got):\n%s", d)
	}
	gone, err := c.DeletePodIdentityAssociation(w.ctx(), &eks.DeletePodIdentityAssociationInput{ClusterName: cluster, AssociationId: a.AssociationId})
	w.must(err)
	if *gone.Association.RoleArn != second {
		t.Errorf("deleted association: got role %s, want %s", *gone.Association.RoleArn, second)
	}
	for name, call := range map[string]func() error{
		"describe": func() error {
			_, err := c.DescribePodIdentityAssociation(w.ctx(), &eks.DescribePodIdentityAssociationInput{ClusterName: cluster, AssociationId: a.AssociationId})
			return err
		},
		"update": func() error {
			_, err := c.UpdatePodIdentityAssociation(w.ctx(), &eks.UpdatePodIdentityAssociationInput{ClusterName: cluster, AssociationId: a.AssociationId, RoleArn: aws.String(reader)})
			return err
		},
		"delete": func() error {
			_, err := c.DeletePodIdentityAssociation(w.ctx(), &eks.DeletePodIdentityAssociationInput{ClusterName: cluster, AssociationId: a.AssociationId})
			return err
		},
	} {
		t.Run(name+" after delete", func(t *testing.T) { wantError(t, call(), "ResourceNotFoundException", 404, "No association found") })
	}
	again, err := c.CreatePodIdentityAssociation(w.ctx(), create("demo", "s3-reader", reader))
	w.must(err)
	if *again.Association.AssociationId == *a.AssociationId {
		t.Errorf("id of a second association: got the first one's, %s", *a.AssociationId)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	role := func(name, trust string) string {
		arn := "arn:aws:iam::123456789012:role/" + name
		w.must(w.PutRole(awsd.Role{ARN: arn, Trust: trust}))
		return arn
	}
	w.must(w.PutCluster(awsd.Cluster{ARN: strings.Replace(lab, "irsa-lab", "young", 1), Status: "CREATING"}))
	w.must(w.PutRole(awsd.Role{ARN: "arn:aws:iam::210987654321:role/there", Trust: podTrust}))
	_, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: "demo", ServiceAccount: "taken", RoleARN: reader})
	w.must(err)
	noTags := role("no-tags", strings.Replace(podTrust, `,"sts:TagSession"`, "", 1))
	manyTags := map[string]string{}
	for i := range 51 {
		manyTags[fmt.Sprint(i)] = ""
	}
	type input = eks.CreatePodIdentityAssociationInput
	policy := aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)
	tests := []struct {
		name   string
		in     *input
		code   string
		status int
		text   string
	}{
		{"no cluster", create("demo", "x", reader, func(in *input) { in.ClusterName = aws.String("none") }), "ResourceNotFoundException", 404, "No cluster found"},
		{"cluster not active", create("demo", "x", reader, func(in *input) { in.ClusterName = aws.String("young") }), "InvalidRequestException", 400, "CREATING"},
		{"namespace", create("Demo", "x", reader), "InvalidParameterException", 400, "namespace"},
		{"long namespace", create(strings.Repeat("n", 64), "x", reader), "InvalidParameterException", 400, "namespace"},
		{"service account", create("demo", "x_y", reader), "InvalidParameterException", 400, "serviceAccount"},
		{"role ARN", create("demo", "x", "s3-reader"), "InvalidParameterException", 400, "role ARN"},
		{"no such role", create("demo", "x", "arn:aws:iam::123456789012:role/none"), "InvalidParameterException", 400, "Role provided in the request does not exist"},
		{"role path is wrong", create("demo", "x", strings.Replace(reader, "role/", "role/path/", 1)), "InvalidParameterException", 400, "Role provided in the request does not exist"},
		{"role of another account", create("demo", "x", "arn:aws:iam::210987654321:role/there"), "AccessDeniedException", 403, "Cross-account pass role is not allowed."},
		{"IRSA trust only", create("demo", "x", role("irsa", irsaTrust("a"))), "InvalidParameterException", 400, "Trust policy of the role provided is invalid"},
		{"trust without TagSession", create("demo", "x", noTags), "InvalidParameterException", 400, "Trust policy of the role provided is invalid"},
		{"taken", create("demo", "taken", reader), "ResourceInUseException", 409, "Association already exists"},
		{"policy with session tags", create("demo", "x", reader, func(in *input) { in.Policy = policy }), "InvalidParameterException", 400, "disableSessionTags"},
		{"policy is no policy", create("demo", "x", reader, func(in *input) { in.Policy, in.DisableSessionTags = aws.String("{"), aws.Bool(true) }), "InvalidParameterException", 400, "policy"},
		{"target ARN", create("demo", "x", reader, func(in *input) { in.TargetRoleArn = aws.String("") }), "InvalidParameterException", 400, "target role"},
		{"51 tags", create("demo", "x", reader, func(in *input) { in.Tags = manyTags }), "InvalidParameterException", 400, "50"},
		{"tag key of AWS", create("demo", "x", reader, func(in *input) { in.Tags = map[string]string{"AWS:x": ""} }), "InvalidParameterException", 400, "aws:"},
		{"tag key too long", create("demo", "x", reader, func(in *input) { in.Tags = map[string]string{strings.Repeat("k", 129): ""} }), "InvalidParameterException", 400, "128"},
		{"tag value too long", create("demo", "x", reader, func(in *input) { in.Tags = map[string]string{"k": strings.Repeat("v", 257)} }), "InvalidParameterException", 400, "256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.eks(acct).CreatePodIdentityAssociation(t.Context(), tt.in)
			wantError(t, err, tt.code, tt.status, tt.text)
		})
	}
	if n := len(w.Associations(lab)); n != 1 {
		t.Errorf("associations after refusals: got %d, want 1", n)
	}
	for name, in := range map[string]*input{
		"without session tags no TagSession is needed": create("demo", "a", noTags, func(in *input) { in.DisableSessionTags = aws.Bool(true) }),
		"policy":                    create("demo", "b", reader, func(in *input) { in.Policy, in.DisableSessionTags = policy, aws.Bool(true) }),
		"conditions are not judged": create("demo", "c", role("conditional", strings.Replace(podTrust, `"Action"`, `"Condition":{"StringEquals":{"aws:SourceAccount":"210987654321"}},"Action"`, 1))),
	} {
		if _, err := w.eks(acct).CreatePodIdentityAssociation(w.ctx(), in); err != nil {
			t.Errorf("%s: got %v, want success", name, err)
		}
	}
}

func TestModelledExceptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.must(w.PutAccount(awsd.Account{ID: acct, AssociationsPerCluster: 2}))
	c := w.eks(acct)
	for _, sa := range []string{"a", "b"} {
		_, err := c.CreatePodIdentityAssociation(w.ctx(), create("demo", sa, reader))
		w.must(err)
	}
	_, err := c.CreatePodIdentityAssociation(w.ctx(), create("demo", "c", reader))
	wantError(t, err, "ResourceLimitExceededException", 400, "limit")
	as[*types.ResourceLimitExceededException](t, err)
	_, err = c.CreatePodIdentityAssociation(w.ctx(), create("demo", "a", reader))
	as[*types.ResourceInUseException](t, err)
	_, err = c.CreatePodIdentityAssociation(w.ctx(), create("demo", "c", "x"))
	as[*types.InvalidParameterException](t, err)
	_, err = c.CreatePodIdentityAssociation(w.ctx(), create("demo", "c", "arn:aws:iam::210987654321:role/there"))
	as[*types.AccessDeniedException](t, err)
	w.must(w.PutAccount(awsd.Account{ID: acct}))
	if a, _ := w.Account(acct); a.AssociationsPerCluster != 5000 {
		t.Errorf("default quota: got %d, want 5000", a.AssociationsPerCluster)
	}
	_, err = c.CreatePodIdentityAssociation(w.ctx(), create("demo", "c", reader))
	w.must(err)
}

func TestUpdateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	a, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: "demo", ServiceAccount: "x", RoleARN: reader, DisableSessionTags: true,
		Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`})
	w.must(err)
	type input = eks.UpdatePodIdentityAssociationInput
	tests := []struct {
		name string
		set  func(*input)
		code string
		text string
	}{
		{"nothing", func(*input) {}, "InvalidRequestException", "must change"},
		{"the same role", func(in *input) { in.RoleArn = aws.String(reader) }, "InvalidRequestException", "must change"},
		{"clear target", func(in *input) { in.TargetRoleArn = aws.String("") }, "InvalidParameterException", "target role"},
		{"clear policy", func(in *input) { in.Policy = aws.String("") }, "InvalidParameterException", "policy"},
		{"tags beside a policy", func(in *input) { in.DisableSessionTags = aws.Bool(false) }, "InvalidParameterException", "disableSessionTags"},
		{"no such role", func(in *input) { in.RoleArn = aws.String("arn:aws:iam::123456789012:role/none") }, "InvalidParameterException", "Role provided in the request does not exist"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := &input{ClusterName: cluster, AssociationId: &a.ID}
			tt.set(in)
			_, err := w.eks(acct).UpdatePodIdentityAssociation(t.Context(), in)
			wantError(t, err, tt.code, 400, tt.text)
			if now, _ := w.Association(lab, "demo", "x"); gocmp.Diff(a, now) != "" {
				t.Errorf("association after a refusal:\n%s", gocmp.Diff(a, now))
			}
		})
	}
}

func TestClientRequestToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	token := func(in *eks.CreatePodIdentityAssociationInput) { in.ClientRequestToken = aws.String("once") }
	first, err := w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "x", reader, token))
	w.must(err)
	second, err := w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "x", reader, token))
	w.must(err)
	if *first.Association.AssociationId != *second.Association.AssociationId {
		t.Errorf("same token: got %s and %s, want one association", *first.Association.AssociationId, *second.Association.AssociationId)
	}
	_, err = w.eks(acct).CreatePodIdentityAssociation(w.ctx(), create("demo", "y", reader, token))
	wantError(t, err, "InvalidRequestException", 400, "clientRequestToken")
	as[*types.InvalidRequestException](t, err)
}

func TestEKSPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	c := w.eks(acct)
	want := map[string]bool{}
	for i := range 250 {
		a, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: fmt.Sprintf("ns-%d", i%2), ServiceAccount: fmt.Sprint("sa-", i), RoleARN: reader, OwnerARN: "arn:owner"})
		w.must(err)
		want[a.ID] = true
		w.must(w.PutAddon(awsd.Addon{Cluster: lab, Name: fmt.Sprintf("addon-%03d", i)}))
		w.must(w.PutFargateProfile(awsd.FargateProfile{Cluster: lab, Name: fmt.Sprintf("fp-%03d", i)}))
	}
	sizes := []int{}
	for p := eks.NewListPodIdentityAssociationsPaginator(c, &eks.ListPodIdentityAssociationsInput{ClusterName: cluster}); p.HasMorePages(); {
		out, err := p.NextPage(w.ctx())
		w.must(err)
		sizes = append(sizes, len(out.Associations))
		for _, a := range out.Associations {
			delete(want, *a.AssociationId)
			if *a.OwnerArn != "arn:owner" {
				t.Errorf("ownerArn in the summary: got %s", *a.OwnerArn)
			}
		}
	}
	if !slices.Equal(sizes, []int{100, 100, 50}) || len(want) != 0 {
		t.Errorf("pages: got sizes %v and %d missing, want 100, 100, 50 and none", sizes, len(want))
	}
	n := 0
	for p := eks.NewListPodIdentityAssociationsPaginator(c, &eks.ListPodIdentityAssociationsInput{ClusterName: cluster, Namespace: aws.String("ns-1"), MaxResults: aws.Int32(50)}); p.HasMorePages(); {
		out, err := p.NextPage(w.ctx())
		w.must(err)
		n += len(out.Associations)
	}
	one, err := c.ListPodIdentityAssociations(w.ctx(), &eks.ListPodIdentityAssociationsInput{ClusterName: cluster, ServiceAccount: aws.String("sa-7")})
	w.must(err)
	if n != 125 || len(one.Associations) != 1 {
		t.Errorf("filters: got %d by namespace and %d by ServiceAccount, want 125 and 1", n, len(one.Associations))
	}
	lists := map[string]func(max *int32, token *string) (int, *string, error){
		"associations": func(max *int32, token *string) (int, *string, error) {
			out, err := c.ListPodIdentityAssociations(w.ctx(), &eks.ListPodIdentityAssociationsInput{ClusterName: cluster, MaxResults: max, NextToken: token})
			return len(cmp.Or(out, &eks.ListPodIdentityAssociationsOutput{}).Associations), cmp.Or(out, &eks.ListPodIdentityAssociationsOutput{}).NextToken, err
		},
		"add-ons": func(max *int32, token *string) (int, *string, error) {
			out, err := c.ListAddons(w.ctx(), &eks.ListAddonsInput{ClusterName: cluster, MaxResults: max, NextToken: token})
			return len(cmp.Or(out, &eks.ListAddonsOutput{}).Addons), cmp.Or(out, &eks.ListAddonsOutput{}).NextToken, err
		},
		"profiles": func(max *int32, token *string) (int, *string, error) {
			out, err := c.ListFargateProfiles(w.ctx(), &eks.ListFargateProfilesInput{ClusterName: cluster, MaxResults: max, NextToken: token})
			return len(cmp.Or(out, &eks.ListFargateProfilesOutput{}).FargateProfileNames), cmp.Or(out, &eks.ListFargateProfilesOutput{}).NextToken, err
		},
	}
	for name, list := range lists {
		t.Run(name, func(t *testing.T) {
			for _, bad := range []int32{0, 101, -1} {
				_, _, err := list(&bad, nil)
				wantError(t, err, "InvalidParameterException", 400, "maxResults")
			}
			_, _, err := list(nil, aws.String("made-up"))
			wantError(t, err, "InvalidParameterException", 400, "token")
			n, token, err := list(aws.Int32(100), nil)
			if err != nil || n != 100 || token == nil {
				t.Fatalf("first page of 100: got %d, %v, %v", n, token, err)
			}
			if _, _, err = list(nil, aws.String((*token)[2:])); err == nil {
				t.Error("altered token: got no error")
			}
			if n, token, err = list(aws.Int32(100), token); err != nil || n != 100 || token == nil {
				t.Fatalf("second page: got %d, %v, %v", n, token, err)
			}
			if n, token, err = list(aws.Int32(100), token); err != nil || n != 50 || token != nil {
				t.Errorf("third page: got %d, %v, %v; want 50 and no token", n, token, err)
			}
		})
	}
}

func TestAddonsAndProfiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.must(w.PutAddon(awsd.Addon{Cluster: lab, Name: "vpc-cni", Version: "v1.20.0-eksbuild.1", ServiceAccountRoleARN: reader, PodIdentityAssociations: []string{"arn:pia"}, Tags: map[string]string{"a": "b"}}))
	w.PutAddonConfiguration(awsd.AddonConfiguration{Name: "vpc-cni", Version: "v1.20.0-eksbuild.1", Schema: "{}", ServiceAccounts: []awsd.AddonIdentity{{ServiceAccount: "aws-node", Policies: []string{"arn:p"}}}})
	w.must(w.PutFargateProfile(awsd.FargateProfile{Cluster: lab, Name: "fp", Selectors: []awsd.FargateSelector{{Namespace: "karpenter*", Labels: map[string]string{"a": "b"}}}}))
	c := w.eks(acct)
	addon, err := c.DescribeAddon(w.ctx(), &eks.DescribeAddonInput{ClusterName: cluster, AddonName: aws.String("vpc-cni")})
	w.must(err)
	conf, err := c.DescribeAddonConfiguration(w.ctx(), &eks.DescribeAddonConfigurationInput{AddonName: addon.Addon.AddonName, AddonVersion: addon.Addon.AddonVersion})
	w.must(err)
	profile, err := c.DescribeFargateProfile(w.ctx(), &eks.DescribeFargateProfileInput{ClusterName: cluster, FargateProfileName: aws.String("fp")})
	w.must(err)
	got := []any{*addon.Addon.ServiceAccountRoleArn, addon.Addon.PodIdentityAssociations, string(addon.Addon.Status), addon.Addon.Tags,
		*conf.PodIdentityConfiguration[0].ServiceAccount, *profile.FargateProfile.Selectors[0].Namespace, profile.FargateProfile.Selectors[0].Labels, string(profile.FargateProfile.Status)}
	want := []any{reader, []string{"arn:pia"}, "ACTIVE", map[string]string{"a": "b"}, "aws-node", "karpenter*", map[string]string{"a": "b"}, "ACTIVE"}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("add-on and profile (-want +got):\n%s", d)
	}
	_, err = c.DescribeAddon(w.ctx(), &eks.DescribeAddonInput{ClusterName: cluster, AddonName: aws.String("none")})
	wantError(t, err, "ResourceNotFoundException", 404, "none")
	_, err = c.DescribeAddonConfiguration(w.ctx(), &eks.DescribeAddonConfigurationInput{AddonName: aws.String("none"), AddonVersion: aws.String("v1")})
	wantError(t, err, "ResourceNotFoundException", 404, "none")
	_, err = c.DescribeFargateProfile(w.ctx(), &eks.DescribeFargateProfileInput{ClusterName: cluster, FargateProfileName: aws.String("none")})
	wantError(t, err, "ResourceNotFoundException", 404, "none")
	if !w.DeleteAddon(lab, "vpc-cni") || w.DeleteAddon(lab, "vpc-cni") || !w.DeleteFargateProfile(lab, "fp") {
		t.Error("deleting twice: want true, then false")
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	a, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: "demo", ServiceAccount: "x", RoleARN: reader})
	w.must(err)
	w.must(w.PutAddon(awsd.Addon{Cluster: lab, Name: "vpc-cni"}))
	w.must(w.PutFargateProfile(awsd.FargateProfile{Cluster: lab, Name: "fp"}))
	profile, err := w.eks(acct).DescribeFargateProfile(w.ctx(), &eks.DescribeFargateProfileInput{ClusterName: cluster, FargateProfileName: aws.String("fp")})
	w.must(err)
	c := w.eks(acct)
	for _, arn := range []string{a.ARN(), lab, awsd.Addon{Cluster: lab, Name: "vpc-cni"}.ARN(), *profile.FargateProfile.FargateProfileArn} {
		t.Run(arn, func(t *testing.T) {
			_, err := c.TagResource(t.Context(), &eks.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"a": "1", "b": "2"}})
			w.must(err)
			_, err = c.UntagResource(t.Context(), &eks.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"a", "none"}})
			w.must(err)
			got, err := c.ListTagsForResource(t.Context(), &eks.ListTagsForResourceInput{ResourceArn: &arn})
			w.must(err)
			if d := gocmp.Diff(map[string]string{"b": "2"}, got.Tags); d != "" {
				t.Errorf("tags (-want +got):\n%s", d)
			}
		})
	}
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint("k", i)] = ""
	}
	_, err = c.TagResource(w.ctx(), &eks.TagResourceInput{ResourceArn: aws.String(a.ARN()), Tags: many})
	wantError(t, err, "BadRequestException", 400, "50")
	as[*types.BadRequestException](t, err)
	_, err = c.ListTagsForResource(w.ctx(), &eks.ListTagsForResourceInput{ResourceArn: aws.String(lab + "x")})
	wantError(t, err, "NotFoundException", 404, "not found")
	as[*types.NotFoundException](t, err)
	_, err = c.ListTagsForResource(w.ctx(), &eks.ListTagsForResourceInput{ResourceArn: aws.String(reader)})
	wantError(t, err, "BadRequestException", 400, "Invalid resource ARN")
}

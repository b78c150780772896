package app

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/sync/doctor"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/observe"
)

// middleware notes the Date of each answer of AWS, errors too.
func (d *dates) middleware(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("lanyard:date",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleDeserialize(ctx, in)
			if r, is := out.RawResponse.(*smithyhttp.Response); is && r != nil && r.Response != nil {
				d.note(r.Header.Get("Date"))
			}
			return out, metadata, err
		}), middleware.Before)
}

type callerFacts struct {
	arn, account, partition string
}

func (x *examination) callerOnce(ctx context.Context) (callerFacts, error) {
	return x.caller.of(ctx, x.o.Timeout, func(ctx context.Context) (callerFacts, error) {
		if x.clients == nil {
			return callerFacts{}, &plainError{x.awsErr}
		}
		id, err := x.clients.sts.GetCallerIdentity(ctx, nil)
		if _, is := errors.AsType[*processcreds.ProviderError](err); is {
			// The SDK quotes what the process wrote, and that may be its keys.
			return callerFacts{}, &plainError{errors.New("the credential_process of the profile gave no credentials: run it by hand")}
		}
		if err != nil {
			return callerFacts{}, err
		}
		f := callerFacts{arn: aws.ToString(id.Arn), account: aws.ToString(id.Account)}
		if parts := strings.SplitN(f.arn, ":", 3); len(parts) == 3 {
			f.partition = parts[1]
		}
		return f, nil
	})
}

func (x *examination) awsIdentity(ctx context.Context) doctor.Check {
	c, err := x.callerOnce(ctx)
	f := doctor.AWSIdentity{Trouble: troubleOf(err), ARN: c.arn, InPod: os.Getenv("KUBERNETES_SERVICE_HOST") != ""}
	if x.clients != nil {
		f.Mechanism = picked(x.clients.base.Credentials)
		f.Wiring = wiring(f.Mechanism, os.Getenv)
	}
	return f.Judge()
}

func (x *examination) awsClock(ctx context.Context) doctor.Check {
	_, err := x.callerOnce(ctx)
	ahead, told := x.awsDates.told()
	switch {
	case told:
		err = nil // an answer that is an error is dated too
	case err == nil:
		return doctor.Skip(doctor.IDAWSClock, "AWS says no time")
	default:
		return doctor.Blocked(doctor.IDAWSClock, doctor.IDAWSIdentity)
	}
	return doctor.Clock{Trouble: troubleOf(err), ID: doctor.IDAWSClock, Whose: "AWS", Ahead: ahead}.Judge()
}

func (x *examination) awsAccount(ctx context.Context) doctor.Check {
	c, err := x.callerOnce(ctx)
	f := doctor.AWSAccount{Trouble: troubleOf(err), Caller: c.account, Region: x.clients.base.Region, Others: slices.Sorted(maps.Keys(x.clients.accounts))}
	if cluster, err := x.clusterOnce(ctx); err == nil {
		f.Cluster = cluster.cluster.Account
	}
	if x.o.Config != nil {
		for _, a := range x.o.Config.Allow {
			for _, role := range a.Roles {
				if parts := strings.Split(role, ":"); len(parts) > 5 && isAccount(parts[4]) {
					f.Allow = append(f.Allow, parts[4])
				}
			}
		}
	}
	slices.Sort(f.Allow)
	f.Allow = slices.Compact(f.Allow)
	return f.Judge()
}

// isAccount reports whether a part of a pattern is an account's ID, and no pattern.
func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

type clusterFacts struct {
	cluster         identity.Cluster
	issuer          string
	status, version string
	auto            bool
}

func (x *examination) clusterOnce(ctx context.Context) (clusterFacts, error) {
	return x.cluster.of(ctx, x.o.Timeout, func(ctx context.Context) (clusterFacts, error) {
		if x.clients == nil {
			return clusterFacts{}, &plainError{x.awsErr}
		}
		if x.o.Cluster == "" {
			return clusterFacts{}, &plainError{errors.New("no cluster is named")}
		}
		out, err := x.clients.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &x.o.Cluster})
		if err != nil {
			return clusterFacts{}, err
		}
		if out.Cluster == nil {
			return clusterFacts{}, &plainError{errors.New("EKS answered without a cluster")}
		}
		c := out.Cluster
		f := clusterFacts{status: string(c.Status), version: aws.ToString(c.Version), auto: c.ComputeConfig != nil && aws.ToBool(c.ComputeConfig.Enabled)}
		if f.cluster, err = identity.ParseClusterARN(aws.ToString(c.Arn)); err != nil {
			return f, &plainError{err}
		}
		if c.Identity != nil && c.Identity.Oidc != nil {
			f.issuer = aws.ToString(c.Identity.Oidc.Issuer)
			f.cluster.Issuer = identity.Issuer(f.issuer)
		}
		return f, nil
	})
}

func (x *examination) eksCluster(ctx context.Context) doctor.Check {
	if x.o.Cluster == "" { // it stands in a configuration that cannot be read
		return doctor.Blocked(doctor.IDCluster, doctor.IDConfiguration)
	}
	c, err := x.clusterOnce(ctx)
	caller, _ := x.callerOnce(ctx)
	return doctor.Cluster{Trouble: troubleOf(err), Missing: absent(err), Name: x.o.Cluster, Region: x.clients.base.Region, Account: caller.account,
		Status: c.status, Version: c.version}.Judge()
}

// absent reports that the service was asked, and knows no such thing.
func absent(err error) bool {
	api, is := errors.AsType[smithy.APIError](err)
	return is && slices.Contains([]string{"NoSuchEntity", "NoSuchEntityException", "ResourceNotFoundException", "NotFoundException"}, api.ErrorCode())
}

func (x *examination) oidcProvider(ctx context.Context) doctor.Check {
	c, err := x.clusterOnce(ctx)
	if err != nil {
		return doctor.Blocked(doctor.IDOIDCProvider, doctor.IDCluster)
	}
	f := doctor.OIDCProvider{ARN: c.cluster.Issuer.ProviderARN(c.cluster.Partition, c.cluster.Account), Cluster: x.o.Cluster}
	client, err := x.clients.iamOf(c.cluster.Account)
	if err == nil {
		var out *iam.GetOpenIDConnectProviderOutput
		if out, err = client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &f.ARN}); err == nil {
			f.Present, f.Audiences = true, out.ClientIDList
		} else if absent(err) {
			err = nil
		}
	}
	f.Trouble = troubleOf(err)
	return f.Judge()
}

func (x *examination) otherAccounts(ctx context.Context) doctor.Check {
	id := doctor.IDOtherAccounts
	if len(x.clients.accounts) > 0 && !x.o.AsRole.IsZero() {
		return doctor.Skip(id, "it is asked about "+x.o.AsRole.String()+", and whoever runs this is another: run it as lanyard itself to try")
	}
	var f doctor.OtherAccounts
	for _, account := range slices.Sorted(maps.Keys(x.clients.accounts)) {
		e := doctor.Entry{Account: account, Role: x.clients.accounts[account].Role.String()}
		client, err := x.clients.iamOf(account)
		if err == nil {
			_, err = client.ListOpenIDConnectProviders(ctx, nil)
		}
		e.Trouble = troubleOf(err)
		f.Entries = append(f.Entries, e)
	}
	if w, err := x.wants(ctx); err == nil {
		f.Command = w.Command("trust-other-account")
	}
	return f.Judge()
}

func (x *examination) awsPermissions(ctx context.Context) doctor.Check {
	if x.o.Cluster == "" {
		return doctor.Blocked(doctor.IDAWSPermissions, doctor.IDConfiguration)
	}
	w, err := x.wants(ctx)
	if err != nil {
		return doctor.AWSPermissions{Trouble: doctor.Trouble{Reason: live.GapFailed, Message: err.Error()}}.Judge()
	}
	caller, _ := x.callerOnce(ctx)
	f := doctor.AWSPermissions{Who: caller.arn, Command: w.Command("iam")}
	if !x.o.AsRole.IsZero() {
		f.Who = x.o.AsRole.String()
	}
	source, why := x.source(ctx, caller)
	if why == "" {
		f.Actions, err = x.simulate(ctx, source, w)
		switch {
		case err == nil:
			f.Simulated = true
			return f.Judge()
		case troubleOf(err).Reason != live.GapRefused && !absent(err):
			f.Trouble = troubleOf(err)
			return f.Judge()
		}
		_, why = observe.Classify(err)
	}
	f.Refused = why
	f.Actions = x.try(ctx, w)
	return f.Judge()
}

// source is whose policies can be simulated: a role or a user. A session's ARN has no path
// of its role's, so IAM is asked for it.
//
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (x *examination) source(ctx context.Context, c callerFacts) (source, why string) {
	if !x.o.AsRole.IsZero() {
		return x.o.AsRole.String(), ""
	}
	switch name := roleOf(c.arn); {
	case name != "":
		if client, err := x.clients.iamOf(c.account); err == nil {
			if out, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: &name}); err == nil && out.Role != nil {
				return aws.ToString(out.Role.Arn), ""
			}
		}
		return "arn:" + c.partition + ":iam::" + c.account + ":role/" + name, ""
	case strings.Contains(c.arn, ":user/"):
		return c.arn, ""
	}
	return "", c.arn + " is neither a role's session nor a user, and IAM simulates no other"
}

// simulate asks what the policies of a role or user would answer: each action, on each
// resource and with the context that the policy of `lanyard policy` has.
func (x *examination) simulate(ctx context.Context, source string, w rights.Wants) ([]doctor.Action, error) {
	parts := strings.SplitN(source, ":", 6)
	client, err := x.clients.iamOf(parts[4])
	if err != nil {
		return nil, err
	}
	var all []doctor.Action
	for _, s := range w.Statements {
		for _, resource := range s.Resources {
			in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &source, ActionNames: s.Actions, ContextEntries: x.contextOf(s, resource)}
			if resource != "*" {
				in.ResourceArns = []string{resource}
			}
			decided := map[string]iamtypes.PolicyEvaluationDecisionType{}
			for pages := iam.NewSimulatePrincipalPolicyPaginator(client, in); pages.HasMorePages(); {
				out, err := pages.NextPage(ctx)
				if err != nil {
					return nil, err
				}
				for _, r := range out.EvaluationResults {
					note(decided, r)
				}
			}
			for _, action := range s.Actions {
				all = append(all, granted(action, resource, decided))
			}
		}
	}
	return all, nil
}

// note keeps the most restrictive decision about an action.
func note(decided map[string]iamtypes.PolicyEvaluationDecisionType, r iamtypes.EvaluationResult) {
	name := strings.ToLower(aws.ToString(r.EvalActionName))
	decisions := []iamtypes.PolicyEvaluationDecisionType{r.EvalDecision}
	for _, one := range r.ResourceSpecificResults {
		decisions = append(decisions, one.EvalResourceDecision)
	}
	if r.OrganizationsDecisionDetail != nil && !r.OrganizationsDecisionDetail.AllowedByOrganizations {
		decisions = append(decisions, iamtypes.PolicyEvaluationDecisionTypeExplicitDeny)
	}
	for _, d := range decisions {
		if have, is := decided[name]; !is || have == iamtypes.PolicyEvaluationDecisionTypeAllowed {
			decided[name] = d
		}
	}
}

func granted(action, resource string, decided map[string]iamtypes.PolicyEvaluationDecisionType) doctor.Action {
	a := doctor.Action{Name: action, Resource: resource}
	switch decided[strings.ToLower(action)] {
	case iamtypes.PolicyEvaluationDecisionTypeAllowed:
		a.Grant = doctor.Granted
	case iamtypes.PolicyEvaluationDecisionTypeExplicitDeny:
		a.Grant, a.Why = doctor.Denied, "denied by name, by a policy, its boundary or the organization"
	case iamtypes.PolicyEvaluationDecisionTypeImplicitDeny:
		a.Grant, a.Why = doctor.Denied, "no policy allows it"
	default:
		a.Grant, a.Why = doctor.NotAsked, "IAM did not say"
	}
	return a
}

// contextOf are the condition keys of a request that a statement is for. An external ID is
// that of the account whose role is entered.
func (x *examination) contextOf(s rights.Statement, resource string) []iamtypes.ContextEntry {
	var out []iamtypes.ContextEntry
	for _, keys := range s.Condition {
		for key, values := range keys {
			if key == "sts:ExternalId" {
				if values = x.externalID(resource); len(values) == 0 {
					continue
				}
			}
			out = append(out, iamtypes.ContextEntry{ContextKeyName: &key, ContextKeyType: iamtypes.ContextKeyTypeEnumString, ContextKeyValues: values})
		}
	}
	return out
}

func (x *examination) externalID(role string) []string {
	for _, a := range x.clients.accounts {
		if a.Role.String() == role && a.ExternalID != "" {
			return []string{a.ExternalID}
		}
	}
	return nil
}

// try makes the reads among the actions, each once and of as little as can be. What is not
// there shows the right as well as what is: AWS asks whether somebody may before it looks.
// Writes are not tried.
func (x *examination) try(ctx context.Context, w rights.Wants) []doctor.Action {
	reads := map[string]func(context.Context) error{}
	if x.o.AsRole.IsZero() {
		reads = x.reads()
	}
	var all []doctor.Action
	for _, action := range rights.Actions(w.Statements) {
		read, harmless := reads[action]
		if !harmless {
			all = append(all, doctor.Action{Name: action, Grant: doctor.NotAsked})
			continue
		}
		a := doctor.Action{Name: action, Grant: doctor.Granted}
		if err := read(ctx); err != nil && !absent(err) {
			reason, why := observe.Classify(err)
			if a.Grant, a.Why = doctor.NotAsked, why; reason == live.GapRefused {
				a.Grant = doctor.Denied
			}
		}
		all = append(all, a)
	}
	return all
}

// nothing is the name of what is asked for where anything will do, and is not there.
const nothing = "lanyard-doctor"

// reads are the actions that change nothing, and how to make each.
func (x *examination) reads() map[string]func(context.Context) error {
	cluster := aws.String(x.o.Cluster)
	one, none := aws.Int32(1), aws.String(nothing)
	ofIAM := func(call func(*iam.Client) error) error {
		caller, _ := x.callerOnce(context.Background()) // it has been asked for
		client, err := x.clients.iamOf(caller.account)
		if err != nil {
			return err
		}
		return call(client)
	}
	e := x.clients.eks
	return map[string]func(context.Context) error{
		"eks:DescribeCluster": func(ctx context.Context) error {
			_, err := x.clusterOnce(ctx)
			return err
		},
		"eks:ListAddons": func(ctx context.Context) error {
			_, err := e.ListAddons(ctx, &eks.ListAddonsInput{ClusterName: cluster, MaxResults: one})
			return err
		},
		"eks:ListFargateProfiles": func(ctx context.Context) error {
			_, err := e.ListFargateProfiles(ctx, &eks.ListFargateProfilesInput{ClusterName: cluster, MaxResults: one})
			return err
		},
		"eks:ListPodIdentityAssociations": func(ctx context.Context) error {
			_, err := e.ListPodIdentityAssociations(ctx, &eks.ListPodIdentityAssociationsInput{ClusterName: cluster, MaxResults: one})
			return err
		},
		"eks:DescribePodIdentityAssociation": func(ctx context.Context) error {
			_, err := e.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: cluster, AssociationId: aws.String("a-" + strings.ReplaceAll(nothing, "-", ""))})
			return err
		},
		"eks:DescribeAddon": func(ctx context.Context) error {
			_, err := e.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: cluster, AddonName: none})
			return err
		},
		"eks:DescribeNodegroup": func(ctx context.Context) error {
			_, err := e.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: cluster, NodegroupName: none})
			return err
		},
		"eks:DescribeFargateProfile": func(ctx context.Context) error {
			_, err := e.DescribeFargateProfile(ctx, &eks.DescribeFargateProfileInput{ClusterName: cluster, FargateProfileName: none})
			return err
		},
		"iam:GetAccountAuthorizationDetails": func(ctx context.Context) error {
			return ofIAM(func(c *iam.Client) error {
				_, err := c.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []iamtypes.EntityType{iamtypes.EntityTypeRole}, MaxItems: one})
				return err
			})
		},
		"iam:GetAccountSummary": func(ctx context.Context) error {
			return ofIAM(func(c *iam.Client) error {
				_, err := c.GetAccountSummary(ctx, nil)
				return err
			})
		},
		"iam:ListOpenIDConnectProviders": func(ctx context.Context) error {
			return ofIAM(func(c *iam.Client) error {
				_, err := c.ListOpenIDConnectProviders(ctx, nil)
				return err
			})
		},
		"iam:ListRoles": func(ctx context.Context) error {
			return ofIAM(func(c *iam.Client) error {
				_, err := c.ListRoles(ctx, &iam.ListRolesInput{MaxItems: one})
				return err
			})
		},
		"iam:GetRole": func(ctx context.Context) error {
			return ofIAM(func(c *iam.Client) error {
				_, err := c.GetRole(ctx, &iam.GetRoleInput{RoleName: none})
				return err
			})
		},
		"iam:GetOpenIDConnectProvider": func(ctx context.Context) error {
			return ofIAM(func(c *iam.Client) error {
				f, _ := x.callerOnce(ctx)
				arn := identity.Issuer("https://"+nothing+".invalid/id/NONE").ProviderARN(f.partition, f.account)
				_, err := c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
				return err
			})
		},
		"cloudtrail:LookupEvents": func(ctx context.Context) error {
			_, err := cloudtrail.NewFromConfig(x.clients.base).LookupEvents(ctx, &cloudtrail.LookupEventsInput{MaxResults: one})
			return err
		},
	}
}

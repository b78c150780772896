package awsd

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Call is the record of one request.
type Call struct {
	Seq       int // Counts from 1, without gaps.
	Time      time.Time
	Service   string // "iam", "sts", "eks", "eks-auth" or "cloudtrail".
	Operation string // As AWS writes it: "UpdateAssumeRolePolicy".
	Account   string // The caller's.
	Region    string
	Principal string // The caller's ARN; empty if the request was not signed.
	Resource  string // What it is about: a role's name, an association's ID, an ARN.
	Params    string // The request's parameters, without tokens; at most 2 KiB of them.
	Mutating  bool   // The operation may change something ([Mutating]).
	Status    int    // The HTTP status; 0 if the connection was cut or hung.
	ErrorCode string // Empty on success.
	Reason    string // What decided a refusal, where AWS does not tell the caller.
	Fault     Kind   // The fault that was in force, if any.
}

// Bounds on the record, so that a sandbox that runs for days does not fill its memory.
const (
	mostCalls   = 100_000
	longestText = 2 << 10 // bytes of any text in a Call
)

// Calls returns the calls after the one with the sequence number since, oldest first, and
// the cursor to pass the next time. A cursor of 0 returns all. Of more than 100,000 calls
// the oldest are forgotten; sequence numbers and cursors count on.
func (s *Server) Calls(since int) ([]Call, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[min(max(since-s.forgotten, 0), len(s.calls)):]), s.forgotten + len(s.calls)
}

// ForgetCalls empties the record. Sequence numbers and cursors count on.
func (s *Server) ForgetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten += len(s.calls)
	s.calls = nil
}

// record keeps a call. A request chooses the text in it, so all of it is clipped.
func (s *Server) record(c Call) {
	for _, text := range []*string{&c.Service, &c.Operation, &c.Region, &c.Resource, &c.Params, &c.Reason} {
		*text = clip(*text)
	}
	if len(s.calls) == mostCalls {
		s.calls[0] = Call{} // Its text can go before append makes a new array.
		s.calls = s.calls[1:]
		s.forgotten++
	}
	s.calls = append(s.calls, c)
}

// clip shortens a text to longestText, between two characters.
func clip(text string) string {
	if len(text) <= longestText {
		return text
	}
	const mark = "..."
	end := longestText - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.Clone(text[:end]) + mark
}

// operations lists every operation that the server has, by service; true are those that
// change something.
var operations = map[string]map[string]bool{
	"iam": {
		"GetRole": false, "ListRoles": false, "GetAccountAuthorizationDetails": false, "UpdateAssumeRolePolicy": true,
		"GetAccountSummary": false, "ListOpenIDConnectProviders": false, "GetOpenIDConnectProvider": false,
		"ListRolePolicies": false, "GetRolePolicy": false, "ListAttachedRolePolicies": false, "GetPolicy": false,
		"GetPolicyVersion": false, "ListRoleTags": false, "SimulatePrincipalPolicy": false,
	},
	"sts": {"GetCallerIdentity": false, "AssumeRole": false, "AssumeRoleWithWebIdentity": false},
	"eks": {
		"DescribeCluster": false, "ListPodIdentityAssociations": false, "DescribePodIdentityAssociation": false,
		"CreatePodIdentityAssociation": true, "UpdatePodIdentityAssociation": true, "DeletePodIdentityAssociation": true,
		"ListAddons": false, "DescribeAddon": false, "DescribeAddonConfiguration": false, "ListFargateProfiles": false,
		"DescribeFargateProfile": false, "DescribeNodegroup": false, "TagResource": true, "UntagResource": true, "ListTagsForResource": false,
	},
	"eks-auth":   {"AssumeRoleForPodIdentity": false},
	"cloudtrail": {"LookupEvents": false},
}

// Mutating reports whether an operation of a service changes something. Unknown operations
// count as mutating. Handing out credentials changes nothing.
func Mutating(service, operation string) bool {
	mutating, known := operations[service][operation]
	return mutating || !known
}

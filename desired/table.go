package desired

import "time"

// APIVersion is the one version of lanyard's documents.
const APIVersion = group + "/v1alpha1"

const group = "lanyard.io"

// The kinds of documents. Configuration is the operator's and has no place in a
// repository.
const (
	kindMapping       = "IdentityMapping"
	kindDefaults      = "IdentityDefaults"
	kindWaiver        = "AuditWaiver"
	kindConfiguration = "Configuration"
)

// Names, as Kubernetes, EKS and IAM allow them.
// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
// https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html
var (
	anyText   = &shape{kind: text}
	oneFlag   = &shape{kind: flag}
	paragraph = &shape{kind: text, lines: true, blank: true}

	dnsLabel = atMost(matching(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, "a namespace's name",
		"at most 63 of a-z 0-9 -, with a letter or digit at both ends"), 63)
	dnsSubdomain = atMost(matching(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`, "a ServiceAccount's name",
		"at most 253 of a-z 0-9 - ., with a letter or digit at both ends and around each dot"), 253)
	clusterName = atMost(matching(`^[0-9A-Za-z][0-9A-Za-z_-]*$`, "a cluster's name",
		"at most 100 of A-Z a-z 0-9 _ -, beginning with a letter or digit"), 100)
	clusterGlob = atMost(matching(`^[0-9A-Za-z*?][0-9A-Za-z_*?-]*$`, "a cluster's name or glob",
		`at most 100 of A-Z a-z 0-9 _ - * ?, such as "prod-*"`), 100)
	namespaceGlob = atMost(matching(`^[a-z0-9*?]([-a-z0-9*?]*[a-z0-9*?])?$`, "a namespace's name or glob",
		`at most 63 of a-z 0-9 - * ?, such as "team-*"`), 63)
	roleGlob = atMost(matching(`^(arn:[!-~]+|\*)$`, "a glob of role ARNs",
		`one such as "arn:aws:iam::123456789012:role/team-*", or "*"`), 640)
	roleTemplate = with(matching(`^arn:[^:]+:iam::[^:]+:role/[^:]+$`, "a role ARN",
		"arn:aws:iam::123456789012:role/NAME"), checkRoleTemplate)
	accountID = matching(`^[0-9]{12}$`, "an account id", `12 digits in quotes, such as "123456789012"`)
	filePath  = matching(`^[^\n]+$`, "a file's path", "the path of a file that lanyard can read")
)

func req(of *shape, key, doc string) field {
	return field{key: key, shape: of, doc: doc, required: true}
}

func opt(of *shape, key, doc string) field { return field{key: key, shape: of, doc: doc} }

func initially(f field, v any) field {
	f.initial = v
	return f
}

var (
	irsaShape = objectOf(
		opt(orBlank(atMost(matching(`^[!-~]+$`, "an audience", "1 to 255 printable characters without spaces, such as sts.amazonaws.com"), 255)),
			"audience", "Annotation eks.amazonaws.com/audience. Absent: not managed, never written."),
		opt(&shape{kind: span, least: 10 * time.Minute, most: 24 * time.Hour}, "tokenExpiration",
			"Annotation eks.amazonaws.com/token-expiration, 10m to 24h. Absent: not managed, never written."),
		opt(oneFlag, "stsRegionalEndpoints", "Annotation eks.amazonaws.com/sts-regional-endpoints. Absent: not managed, never written."),
	)
	podIdentityShape = objectOf(
		initially(opt(oneFlag, "sessionTags", "Whether EKS sends session tags. sessionPolicy requires false, trust by tags requires true."), true),
		initially(opt(oneOf("pinned", "cluster", "account", "bare"), "trust",
			"How narrowly the role's statement pins who may use it. With session tags off only account (then the default) and bare."), "pinned"),
		opt(orBlank(roleTemplate), "targetRoleARN", "A role that EKS assumes in turn, in any account. Variables expand as in roleARN."),
		opt(with(paragraph, checkSessionPolicy), "sessionPolicy", "An IAM policy as JSON that narrows the session. Requires sessionTags: false."),
	)
	migrationShape = objectOf(
		initially(opt(oneOf("rolling", "natural"), "restart", "Whether lanyard restarts the workload or waits for its own next rollout."), "rolling"),
		initially(opt(oneFlag, "allowDisruption", "Whether a restart may interrupt the workload."), false),
		initially(opt(&shape{kind: span, most: 30 * 24 * time.Hour}, "soak", "How long a moved workload is watched before anything is narrowed, at most 720h."), "30m"),
		initially(opt(oneOf("cloudtrail", "declared", "query"), "proof", "What counts as positive proof that the new mechanism is used."), "cloudtrail"),
		opt(paragraph, "query", "PromQL for proof: query; proof when it returns a sample other than 0."),
		opt(orBlank(atMost(matching(`^[A-Za-z0-9._+-]+/[A-Za-z0-9._+-]+$`, "an SDK and its version",
			"NAME/VERSION as the SDK's user agent has them, such as aws-sdk-go-v2/1.30.0"), 100)), "sdk", "The SDK that the workload uses, as NAME/VERSION."),
		initially(opt(oneOf("full", "keep-trust", "keep-annotation"), "cleanup", "What goes once the workload has moved."), "full"),
		initially(opt(orBlank(with(atMost(anyText, maxWindowsText), checkWindows)), "window",
			"When a crossing or a narrowing may start: days, times and an IANA zone, several by comma."), "always"),
		opt(orBlank(atMost(anyText, 256)), "hold", "Why this mapping must not move; empty to let it move."),
	)
	specFields = []field{
		opt(roleTemplate, "roleARN", "The role. ${cluster}, ${region}, ${accountID}, ${partition}, ${namespace} and ${serviceAccount} expand."),
		opt(oneOf("irsa", "pod-identity", "auto"), "mechanism", "How pods get the role. auto: Pod Identity once eligible, then for good."),
		opt(someOf(clusterGlob), "clusters", "Names or globs of the clusters meant. Absent: every cluster that reads this path."),
		opt(irsaShape, "irsa", "Annotations that tune IRSA."),
		opt(podIdentityShape, "podIdentity", "What the association and its trust statement are made of."),
		opt(migrationShape, "migration", "How the mapping moves between mechanisms."),
		opt(listOf(oneOf("annotation", "trust", "association")), "adopt", "Planes on which lanyard may take over what others made."),
	}
)

func document(kind string, fields ...field) *shape {
	return objectOf(append([]field{
		req(oneOf(APIVersion), "apiVersion", "The version of this document's form."),
		req(oneOf(kind), "kind", "What this document is."),
	}, fields...)...)
}

// documentKind is a kind of documents that a repository holds.
type documentKind struct {
	kind, doc string
	shape     *shape
}

// documents are the kinds that a repository holds, in the order of the schema.
var documents = []documentKind{
	{kindMapping, "One ServiceAccount, its role and its mechanism.", document(kindMapping,
		req(objectOf(
			req(dnsSubdomain, "name", "The ServiceAccount's name, unless spec.serviceAccount says otherwise."),
			req(dnsLabel, "namespace", "The ServiceAccount's namespace."),
		), "metadata", "Which ServiceAccount is meant."),
		req(objectOf(append([]field{
			opt(dnsSubdomain, "serviceAccount", "The ServiceAccount's name where metadata.name is not."),
		}, specFields...)...), "spec", "What it uses."),
	)},
	{kindDefaults, "Defaults for the mappings of this directory and those below; the nearest wins, field by field.", document(kindDefaults,
		opt(objectOf(opt(dnsSubdomain, "name", "A name for people.")), "metadata", "For people."),
		req(objectOf(specFields...), "spec", "The defaults."),
	)},
	{kindWaiver, "One check of audit that is silenced until a date.", document(kindWaiver,
		opt(objectOf(opt(dnsSubdomain, "name", "A name for people.")), "metadata", "For people."),
		req(objectOf(
			req(atMost(matching(`^[a-z0-9]+(-[a-z0-9]+)*$`, "a check's name", "it as audit prints it, such as trust-too-wide"), 63), "check", "The check, as audit prints it."),
			opt(dnsLabel, "namespace", "Namespace of the ServiceAccount meant."),
			opt(dnsSubdomain, "serviceAccount", "The ServiceAccount meant."),
			opt(roleTemplate, "roleARN", "The role meant, instead of a ServiceAccount."),
			req(atMost(anyText, 256), "owner", "Who answers for the waiver."),
			req(atMost(anyText, 1024), "reason", "Why the check does not apply."),
			req(with(&shape{kind: date, is: "a date", write: "a day such as 2027-01-31, which still counts, or a moment such as 2027-01-31T12:00:00Z",
				pattern: dateRE}, checkDate), "expires", "The last day on which the waiver counts, or the moment at which it ends."),
		), "spec", "What is silenced, and on whose word."),
	)},
}

var configurationShape = document(kindConfiguration,
	req(clusterName, "cluster", "The EKS cluster that this daemon looks after."),
	initially(opt(oneOf("observe", "repair", "migrate"), "mode", "How far lanyard may go."), "observe"),
	opt(objectOf(
		req(with(atMost(anyText, 2048), checkURL), "url", "Where the repository is."),
		initially(opt(atMost(matching(`^[!-~]+$`, "a ref", "a branch, a tag or a commit"), 255), "ref", "Branch, tag or commit."), "main"),
		opt(someOf(with(atMost(anyText, 1024), checkPath)), "paths", "Directories or files to read; absent: the whole repository."),
		initially(opt(&shape{kind: span, least: 10 * time.Second, most: 24 * time.Hour}, "interval", "How often the ref is looked up, 10s to 24h."), "60s"),
		opt(objectOf(
			opt(atMost(anyText, 255), "username", "User name beside a token or password."),
			opt(filePath, "tokenFile", "File with a token, for https."),
			opt(filePath, "passwordFile", "File with the password of username, for https, in place of a token."),
			opt(filePath, "sshKeyFile", "File with a private key, for ssh."),
			opt(filePath, "sshPassphraseFile", "File with the passphrase of an encrypted private key."),
			opt(filePath, "knownHostsFile", "File with the host keys that are trusted, for ssh. None is learned."),
			opt(filePath, "caFile", "File with the certificates of a private authority, for https. They take the place of the system's."),
			opt(with(atMost(anyText, 2048), checkHTTP), "proxy", "Proxy for https; absent: as HTTPS_PROXY and NO_PROXY say."),
			initially(opt(oneFlag, "plainHTTP", "Whether http to another machine is allowed, where anyone on the way reads the token and can change what is wanted."), false),
		), "auth", "How the repository is read. Secrets are named by file."),
		opt(objectOf(
			opt(filePath, "gpgKeysFile", "File with the armoured OpenPGP public keys whose signatures count; the commit itself must be signed, also under a tag."),
			opt(filePath, "allowedSignersFile", "File with the SSH keys whose signatures count, as ssh-keygen(1) reads it."),
		), "verify", "Whose signatures a commit needs."),
		opt(orBlank(matching(fullHash, "a commit", "its full hash, 40 or 64 of 0-9 a-f")), "accept",
			"A commit that was looked at and is meant: its removals, that it is empty, or that it does not descend from the last accepted one."),
	), "source", "Where the desired state is."),
	opt(listOf(objectOf(
		req(someOf(namespaceGlob), "namespaces", "Names or globs of namespaces."),
		req(someOf(roleGlob), "roles", "Globs of role ARNs, target roles included."),
	)), "allow", "What may be written: these roles, for ServiceAccounts of these namespaces. Required for repair and migrate."),
	opt(listOf(namespaceGlob), "protect", "Namespaces in which nothing is ever written."),
	opt(listOf(objectOf(
		req(accountID, "id", "The account."),
		req(with(matching(`^arn:[^:]+:iam::[^:]+:role/[^:]+$`, "a role ARN", "arn:aws:iam::210987654321:role/NAME"), checkRole),
			"roleARN", "The role through which it is read."),
		opt(orBlank(atMost(matching(`^[A-Za-z0-9_+=,.@:/-]{2,}$`, "an external id", "2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -"), 1224)), "externalID",
			"The external id that the role's trust policy asks for."),
	)), "accounts", "Other accounts whose roles are read."),
	opt(orBlank(matching(`^o-[a-z0-9]{10,32}$`, "an organization's id", "o- and 10 to 32 of a-z 0-9")), "organizationID", "For aws:SourceOrgId."),
	opt(objectOf(opt(orBlank(with(atMost(anyText, 2048), checkHTTP)), "url", "Base URL of the Prometheus API.")), "prometheus", "For proof: query."),
	opt(objectOf(
		initially(opt(&shape{kind: count, to: 1000}, "removalsPerHour", "Removals in a sliding hour."), 5),
		initially(opt(&shape{kind: count, to: 1000}, "changesPerRound", "Writes in one round."), 20),
	), "budgets", "How much one daemon changes."),
	initially(opt(oneOf("never", "owned"), "prune", "What becomes of what left Git."), "never"),
	opt(objectOf(
		initially(opt(&shape{kind: count, from: 1, to: 1000}, "maxConcurrent", "Migrations under way at once."), 1),
		initially(opt(&shape{kind: count, from: 1, to: 1000}, "perNamespace", "Migrations under way at once in one namespace."), 1),
		initially(opt(&shape{kind: span, least: time.Minute, most: 24 * time.Hour}, "settle", "How long a write is given to be seen everywhere, 60s to 24h."), "60s"),
		opt(orBlank(matching(`^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?(=[A-Za-z0-9._-]*)?(:(NoSchedule|PreferNoSchedule|NoExecute))?$`,
			"a taint", "KEY, KEY=VALUE or KEY=VALUE:NoSchedule")), "startupTaint", "The taint that new nodes bear until their Pod Identity agent is ready."),
		initially(opt(oneFlag, "pause", "Whether every step forward stops."), false),
	), "migration", "How migrations proceed."),
	opt(objectOf(
		initially(opt(oneFlag, "cloudtrail", "Read CloudTrail for proof."), false),
		initially(opt(oneFlag, "identityProbe", "In mode migrate, run lanyard whoami under each ServiceAccount that has moved. A check that nothing waits for."), false),
		initially(opt(oneFlag, "secretKeys", "Read the key names of Secrets, to find static credentials."), false),
		initially(opt(oneFlag, "self", "Let lanyard's own ServiceAccount and the Pod Identity agent's be managed."), false),
		initially(opt(oneFlag, "pullRequests", "Report on open pull requests at GitHub: one comment and one status on each. Needs pullRequests.tokenFile."), false),
	), "features", "What is off unless named."),
	opt(objectOf(
		opt(filePath, "tokenFile", "File with a token that may read and comment on pull requests, and read and set commit statuses."),
		opt(orBlank(with(atMost(anyText, 2048), checkAPI)), "url", "Base URL of GitHub's API, such as https://ghe.example.com/api/v3. Absent: as source.url shows it, for github.com and ghe.com."),
		opt(orBlank(atMost(matching(repositoryRE.String(), "a repository's name", "OWNER/NAME, such as acme/fleet"), 200)), "repository", "The repository at that host, as OWNER/NAME. Absent: as source.url shows it."),
		opt(filePath, "caFile", "File with the certificates of a private authority. Absent: as source.auth.caFile."),
		opt(orBlank(atMost(matching(`^[A-Za-z0-9][A-Za-z0-9_-]*(\[bot\])?$`, "a login", "the account's login, such as lanyard-bot, or lanyard[bot] for a GitHub App"), 100)), "author",
			"The login that comments are made under. Absent: as GitHub says, which it does not tell a GitHub App."),
		opt(orBlank(atMost(matching(`^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$`, "a status's name", "at most 100 of A-Z a-z 0-9 . _ / -, with a letter or digit at both ends"), 100)), "context",
			"Name of the commit status, and mark of the comment; another for each cluster. Absent: lanyard/CLUSTER."),
		initially(opt(oneFlag, "forks", "Whether pull requests from forks are reported on too. Their authors need no right to the repository."), false),
	), "pullRequests", "Where pull requests are reported on, with features.pullRequests."),
)

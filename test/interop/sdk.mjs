// Drives the sandbox's AWS double with the AWS SDK for JavaScript v3. The world comes as
// JSON on standard input; one JSON line {name, error} goes out for each check.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as eks from '@aws-sdk/client-eks'
import * as iam from '@aws-sdk/client-iam'
import * as sts from '@aws-sdk/client-sts'

const world = JSON.parse(readFileSync(0, 'utf8'))
const common = { endpoint: world.url, region: world.region, maxAttempts: 1 }
const admin = { ...common, credentials: world.admin }
const IAM = new iam.IAMClient(admin)
const STS = new sts.STSClient(admin)
const EKS = new eks.EKSClient(admin)

async function check(name, run) {
  let error = ''
  try {
    await run()
  } catch (e) {
    error = String(e?.stack ?? e)
  }
  process.stdout.write(JSON.stringify({ name, error }) + '\n')
}

// refused expects the SDK's own error class, with the code and the status on the wire.
async function refused(promise, type, code, status, message) {
  const e = await promise.then(
    () => assert.fail('the call went through'),
    (e) => e,
  )
  if (type) assert.ok(e instanceof type, `${e?.name} is no ${type.name}: ${e?.stack}`)
  assert.ok([e.Code, e.name].includes(code), `code ${e.Code}, name ${e.name}, want ${code}`)
  assert.equal(e.$metadata.httpStatusCode, status)
  assert.match(e.message, message)
  assert.ok(e.$metadata.requestId, 'no request id')
}

async function pages(paginator) {
  const out = []
  for await (const page of paginator) out.push(page)
  return out
}

const statement = (sid) => ({
  Sid: sid,
  Effect: 'Allow',
  Principal: { Service: 'pods.eks.amazonaws.com' },
  Action: ['sts:AssumeRole', 'sts:TagSession'],
  Condition: { StringEquals: { 'aws:RequestTag/kubernetes-namespace': 'a+b %2F é' } },
})
const policy = (sid) => JSON.stringify({ Version: '2012-10-17', Statement: [statement(sid)] })

// IAM: the Query protocol, forms in and XML out.

await check('iam: get role', async () => {
  const { Role, $metadata } = await IAM.send(new iam.GetRoleCommand({ RoleName: 'reader' }))
  assert.equal($metadata.httpStatusCode, 200)
  assert.equal(Role.Arn, world.reader)
  assert.equal(Role.Path, '/')
  assert.match(Role.RoleId, /^AROA[A-Z0-9]+$/)
  assert.ok(Role.CreateDate instanceof Date && !isNaN(Role.CreateDate))
  assert.equal(Role.MaxSessionDuration, 3600)
  assert.deepEqual(JSON.parse(decodeURIComponent(Role.AssumeRolePolicyDocument)), JSON.parse(world.trust))
  assert.deepEqual(Role.Tags, [{ Key: 'team', Value: 'a & b < c' }])
  assert.equal(Role.Description, 'reads "all" <of> it & more')
})

await check('iam: list roles in pages', async () => {
  const all = await pages(iam.paginateListRoles({ client: IAM, pageSize: 10 }, { PathPrefix: '/many/' }))
  // IAM may return fewer than asked for, and does; only IsTruncated says what is last.
  for (const [i, p] of all.entries()) {
    assert.ok(p.Roles.length <= 10)
    assert.equal(p.IsTruncated, i < all.length - 1)
    assert.equal(p.Marker !== undefined, p.IsTruncated)
  }
  const names = all.flatMap((p) => p.Roles.map((r) => r.RoleName))
  assert.equal(new Set(names).size, 25)
  for (const r of all.flatMap((p) => p.Roles)) {
    assert.equal(r.Tags, undefined)
    assert.ok(r.AssumeRolePolicyDocument && r.CreateDate instanceof Date)
  }
})

await check('iam: an empty list is a list', async () => {
  const { Roles, IsTruncated } = await IAM.send(new iam.ListRolesCommand({ PathPrefix: '/none/' }))
  assert.deepEqual(Roles, [])
  assert.equal(IsTruncated, false)
})

await check('iam: a marker that is none', async () => {
  await refused(IAM.send(new iam.ListRolesCommand({ Marker: 'x' })), null, 'ValidationError', 400, /./)
})

await check('iam: account details in pages', async () => {
  const all = await pages(iam.paginateGetAccountAuthorizationDetails({ client: IAM, pageSize: 20 }, { Filter: ['Role'] }))
  assert.ok(all.length > 1)
  const found = all.flatMap((p) => p.RoleDetailList).find((r) => r.Arn === world.reader)
  assert.deepEqual(found.Tags, [{ Key: 'team', Value: 'a & b < c' }])
  assert.deepEqual(JSON.parse(decodeURIComponent(found.AssumeRolePolicyDocument)), JSON.parse(world.trust))
})

await check('iam: update a trust policy', async () => {
  await IAM.send(new iam.UpdateAssumeRolePolicyCommand({ RoleName: 'writable', PolicyDocument: policy('A') }))
  const { Role } = await IAM.send(new iam.GetRoleCommand({ RoleName: 'writable' }))
  assert.equal(decodeURIComponent(Role.AssumeRolePolicyDocument), policy('A'))
})

await check('iam: a malformed trust policy', async () => {
  const put = (PolicyDocument) => IAM.send(new iam.UpdateAssumeRolePolicyCommand({ RoleName: 'writable', PolicyDocument }))
  const refuse = (doc) => refused(put(doc), iam.MalformedPolicyDocumentException, 'MalformedPolicyDocument', 400, /./)
  await refuse('{')
  await refuse(policy('A-b'))
  await refuse(policy('A').replace('"Action"', '"Resource":"*","Action"'))
})

await check('iam: a trust policy over the quota', async () => {
  const Statement = Array.from({ length: 20 }, (_, i) => statement(`S${i}`))
  const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement })
  await refused(
    IAM.send(new iam.UpdateAssumeRolePolicyCommand({ RoleName: 'writable', PolicyDocument })),
    iam.LimitExceededException, 'LimitExceeded', 409, /ACLSizePerRole: 2048/,
  )
})

await check('iam: a role that is not there', async () => {
  const no = [iam.NoSuchEntityException, 'NoSuchEntity', 404, /nobody/]
  await refused(IAM.send(new iam.GetRoleCommand({ RoleName: 'nobody' })), ...no)
  await refused(IAM.send(new iam.UpdateAssumeRolePolicyCommand({ RoleName: 'nobody', PolicyDocument: policy('A') })), ...no)
  await refused(IAM.send(new iam.ListRoleTagsCommand({ RoleName: 'nobody' })), ...no)
})

await check('iam: tags, policies, providers and quotas', async () => {
  const { Tags, IsTruncated } = await IAM.send(new iam.ListRoleTagsCommand({ RoleName: 'reader' }))
  assert.deepEqual([Tags, IsTruncated], [[{ Key: 'team', Value: 'a & b < c' }], false])
  const { OpenIDConnectProviderList } = await IAM.send(new iam.ListOpenIDConnectProvidersCommand({}))
  assert.deepEqual(OpenIDConnectProviderList, [{ Arn: world.provider }])
  const provider = await IAM.send(new iam.GetOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: world.provider }))
  assert.deepEqual(provider.ClientIDList, ['sts.amazonaws.com'])
  assert.ok(provider.CreateDate instanceof Date)
  const { SummaryMap } = await IAM.send(new iam.GetAccountSummaryCommand({}))
  assert.equal(SummaryMap.AssumeRolePolicySizeQuota, 2048)
})

await check('iam: throttled once, tried again', async () => {
  const patient = new iam.IAMClient({ ...admin, maxAttempts: 3 })
  const { $metadata } = await patient.send(new iam.GetRoleCommand({ RoleName: 'throttled' }))
  assert.equal($metadata.attempts, 2)
})

// STS.

await check('sts: who am I', async () => {
  const me = await STS.send(new sts.GetCallerIdentityCommand({}))
  assert.equal(me.Account, '123456789012')
  assert.equal(me.Arn, 'arn:aws:iam::123456789012:user/sandbox')
  assert.ok(me.UserId)
})

await check('sts: assume a role with its external id', async () => {
  const assume = (more) => STS.send(new sts.AssumeRoleCommand({ RoleArn: world.external, RoleSessionName: 'js', ...more }))
  const { Credentials, AssumedRoleUser } = await assume({ ExternalId: 'x/1+2 3', DurationSeconds: 900 })
  assert.equal(AssumedRoleUser.Arn, 'arn:aws:sts::123456789012:assumed-role/external/js')
  assert.match(AssumedRoleUser.AssumedRoleId, /^AROA[A-Z0-9]+:js$/)
  assert.ok(Credentials.Expiration instanceof Date)
  const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, SessionToken: sessionToken } = Credentials
  const session = new sts.STSClient({ ...common, credentials: { accessKeyId, secretAccessKey, sessionToken } })
  const me = await session.send(new sts.GetCallerIdentityCommand({}))
  assert.equal(me.Arn, AssumedRoleUser.Arn)
  assert.equal(me.UserId, AssumedRoleUser.AssumedRoleId)
  await refused(assume({ ExternalId: 'wrong' }), null, 'AccessDenied', 403, /not authorized to perform: sts:AssumeRole/)
  await refused(assume({}), null, 'AccessDenied', 403, /not authorized to perform: sts:AssumeRole/)
})

await check('sts: assume a role with a web identity', async () => {
  const anyone = new sts.STSClient({ ...common, credentials: { accessKeyId: '', secretAccessKey: '' } })
  const assume = (WebIdentityToken) =>
    anyone.send(new sts.AssumeRoleWithWebIdentityCommand({ RoleArn: world.irsa, RoleSessionName: 'pod', WebIdentityToken }))
  const got = await assume(world.tokens.good)
  assert.equal(got.SubjectFromWebIdentityToken, 'system:serviceaccount:demo:s3-reader')
  assert.equal(got.Audience, 'sts.amazonaws.com')
  assert.equal(got.Provider, world.issuer) // "this contains the value of the iss field"
  assert.equal(got.AssumedRoleUser.Arn, 'arn:aws:sts::123456789012:assumed-role/irsa/pod')
  assert.ok(got.Credentials.Expiration instanceof Date)
  await refused(assume(world.tokens.other), null, 'AccessDenied', 403, /Not authorized to perform sts:AssumeRoleWithWebIdentity/)
  await refused(assume(world.tokens.expired), sts.ExpiredTokenException, 'ExpiredTokenException', 400, /expired/)
  await refused(assume('abcd'), sts.InvalidIdentityTokenException, 'InvalidIdentityToken', 400, /./)
})

await check('sts: an access key that nobody has', async () => {
  const stranger = new sts.STSClient({ ...common, credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'x' } })
  await refused(stranger.send(new sts.GetCallerIdentityCommand({})), null, 'InvalidClientTokenId', 403, /./)
})

// EKS: REST and JSON.

const clusterName = 'lab'
const create = (more) =>
  EKS.send(new eks.CreatePodIdentityAssociationCommand({ clusterName, namespace: 'js', serviceAccount: 'a', roleArn: world.reader, ...more }))

await check('eks: describe a cluster', async () => {
  const { cluster } = await EKS.send(new eks.DescribeClusterCommand({ name: clusterName }))
  assert.equal(cluster.arn, world.cluster)
  assert.equal(cluster.identity.oidc.issuer, world.issuer)
  assert.equal(cluster.status, 'ACTIVE')
  assert.ok(cluster.createdAt instanceof Date && !isNaN(cluster.createdAt))
  const gone = EKS.send(new eks.DescribeClusterCommand({ name: 'nobody' }))
  await refused(gone, eks.ResourceNotFoundException, 'ResourceNotFoundException', 404, /nobody/)
})

await check('eks: the life of an association', async () => {
  const { association: made } = await create({ tags: { 'lanyard.io/x': 'ä/b c' }, disableSessionTags: true })
  assert.match(made.associationId, /^a-[a-z0-9]{17}$/)
  assert.equal(made.associationArn, `arn:aws:eks:${world.region}:123456789012:podidentityassociation/lab/${made.associationId}`)
  assert.ok(made.createdAt instanceof Date && made.modifiedAt instanceof Date)
  assert.equal(made.disableSessionTags, true)
  assert.deepEqual(made.tags, { 'lanyard.io/x': 'ä/b c' })
  await refused(create(), eks.ResourceInUseException, 'ResourceInUseException', 409, /already exists/i)

  const { associationId } = made
  const list = await EKS.send(new eks.ListPodIdentityAssociationsCommand({ clusterName, namespace: 'js', serviceAccount: 'a' }))
  assert.deepEqual(list.associations.map((a) => a.associationId), [associationId])
  assert.equal(list.associations[0].roleArn, undefined)

  const describe = () => EKS.send(new eks.DescribePodIdentityAssociationCommand({ clusterName, associationId }))
  assert.deepEqual((await describe()).association, made)

  const { association: updated } = await EKS.send(
    new eks.UpdatePodIdentityAssociationCommand({ clusterName, associationId, roleArn: world.other, disableSessionTags: false }),
  )
  assert.equal(updated.roleArn, world.other)
  assert.equal(updated.disableSessionTags, false)
  assert.deepEqual((await describe()).association, updated)

  const { association: deleted } = await EKS.send(new eks.DeletePodIdentityAssociationCommand({ clusterName, associationId }))
  assert.equal(deleted.associationId, associationId)
  await refused(describe(), eks.ResourceNotFoundException, 'ResourceNotFoundException', 404, /./)
  const again = EKS.send(new eks.DeletePodIdentityAssociationCommand({ clusterName, associationId }))
  await refused(again, eks.ResourceNotFoundException, 'ResourceNotFoundException', 404, /./)
})

await check('eks: list associations in pages', async () => {
  const all = await pages(eks.paginateListPodIdentityAssociations({ client: EKS, pageSize: 10 }, { clusterName, namespace: 'many' }))
  assert.deepEqual(all.map((p) => p.associations.length), [10, 10, 5])
  assert.ok(!all.at(-1).nextToken)
  assert.equal(new Set(all.flatMap((p) => p.associations.map((a) => a.associationId))).size, 25)
  const bad = EKS.send(new eks.ListPodIdentityAssociationsCommand({ clusterName, nextToken: 'x' }))
  await refused(bad, eks.InvalidParameterException, 'InvalidParameterException', 400, /./)
})

await check('eks: associations that are refused', async () => {
  const gone = create({ clusterName: 'nobody' })
  await refused(gone, eks.ResourceNotFoundException, 'ResourceNotFoundException', 404, /./)
  const role = create({ roleArn: 'arn:aws:iam::123456789012:role/nobody' })
  await refused(role, eks.InvalidParameterException, 'InvalidParameterException', 400, /./)
  const foreign = create({ roleArn: 'arn:aws:iam::210987654321:role/reader' })
  await refused(foreign, eks.EKSServiceException, 'AccessDeniedException', 403, /Cross-account pass role/)
})

await check('eks: tags', async () => {
  const resourceArn = (await create({ serviceAccount: 'tagged', tags: { a: '1' } })).association.associationArn
  await EKS.send(new eks.TagResourceCommand({ resourceArn, tags: { b: '2 & 3' } }))
  await EKS.send(new eks.UntagResourceCommand({ resourceArn, tagKeys: ['a'] }))
  const { tags } = await EKS.send(new eks.ListTagsForResourceCommand({ resourceArn }))
  assert.deepEqual(tags, { b: '2 & 3' })
})

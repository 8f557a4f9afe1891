"""What a person can mend: how it is known, and the sentence with the command that mends it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One line of the table: what it is known by, and what is said then."""

    kinds: str
    """Regex for the code of AWS's answer, or for the class of the error."""
    text: str
    """Regex for its message; named groups go into the sentence."""
    sentence: str


_TAKEN = (
    "The name is taken ({message}): choose another by --name, or remove what has it by "
    "`python -m deploy delete`."
)
_TAKEN_BY_JOB = "The name is taken by a job ({message}): choose another by --name."
_INSTALL = (
    "python3 -m venv .venv-deploy && "
    ".venv-deploy/bin/pip install --require-hashes -r deploy/requirements.txt"
)

RULES = (
    Rule(
        "ModuleNotFoundError",
        r"No module named '(?P<module>click|boto3|botocore|sagemaker)",
        # Into one that is there, the image's own perhaps, its versions would not fit.
        f"{{module}} is not installed in this environment: make one for it by `{_INSTALL}`, "
        "and run `.venv-deploy/bin/python -m deploy`.",
    ),
    # Who asks
    Rule(
        "NoCredentialsError|CredentialRetrievalError",
        "",
        "No AWS credentials were found. Run `aws configure` (keys of an IAM user) or "
        "`aws configure sso` (your company's sign-in), or name a profile that has some by "
        "--profile.",
    ),
    Rule(
        "PartialCredentialsError",
        r"missing: (?P<missing>.*)",
        "The AWS credentials are incomplete ({missing} is missing): run `aws configure` again.",
    ),
    Rule(
        "ProfileNotFound",
        r"profile \((?P<profile>.*?)\)",
        "There is no profile {profile} in ~/.aws: `aws configure list-profiles` names those that "
        "exist, `aws configure --profile {profile}` makes it.",
    ),
    Rule(
        "UnauthorizedSSOTokenError|SSOTokenLoadError|TokenRetrievalError|SSOError",
        "",
        "The sign-in at your company's AWS portal has expired: run `aws sso login`, with --profile "
        "where you give one here.",
    ),
    Rule(
        "ExpiredToken|ExpiredTokenException|TokenRefreshRequired",
        "",
        "The temporary AWS credentials have expired: run `aws sso login`, or get new ones and set "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew.",
    ),
    Rule(
        "RequestTimeTooSkewed|RequestExpired|.*",
        r"Signature (not yet current|expired)|difference between the request time"
        r"|Request has expired",
        "AWS refuses the signature because this machine's clock is wrong: set it, on Linux by "
        "`sudo timedatectl set-ntp true`.",
    ),
    Rule(
        "InvalidClientTokenId|InvalidAccessKeyId|UnrecognizedClientException|AuthFailure",
        "",
        "AWS does not know this access key (deleted, mistyped, made seconds ago, or of another "
        "partition): wait a minute, or run `aws configure` again with a key that `aws sts "
        "get-caller-identity` accepts.",
    ),
    Rule(
        "SignatureDoesNotMatch|IncompleteSignature",
        "",
        "AWS knows the access key, but the secret key does not belong to it: run `aws configure` "
        "again.",
    ),
    # Where
    Rule(
        "NoRegionError",
        "",
        "No region is set: give one by --region, or for good by "
        "`aws configure set region eu-central-1`.",
    ),
    Rule(
        "InvalidRegionError",
        r"'(?P<region>.*?)'",
        "{region} is no region: `aws ec2 describe-regions --query 'Regions[].RegionName'` names "
        "them.",
    ),
    Rule(
        "SSLError",
        "",
        "AWS's certificate is not trusted here, as behind a company's proxy: set "
        "AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt, or the file your company gave you.",
    ),
    Rule(
        "EndpointConnectionError|ConnectTimeoutError|ReadTimeoutError|ConnectionClosedError"
        "|ProxyConnectionError",
        r"(?:URL: |endpoint )?\"?(?P<url>https?://[^\s\"]+)",
        "{url} cannot be reached: the network is down, a proxy is needed (HTTPS_PROXY), or the "
        "region is mistyped; `aws configure get region` shows the one that is set.",
    ),
    Rule(
        "PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException|301|.*",
        r"(bucket is in|expecting|bucket.* region:?|must be in the same region as) '?(?P<region>"
        r"[a-z]{2}(-[a-z]+)+-\d)|(location constraint is incompatible|must be addressed using"
        r"|bucket.*(same|different) region)",
        "The bucket lies in another region{region_told} than this command works in: run it with "
        "the bucket's --region (`aws s3api get-bucket-location --bucket BUCKET` tells it), or "
        "`python -m deploy setup` for a bucket here.",
    ),
    # What is not there, or not ours
    Rule(
        "BucketAlreadyExists",
        "",
        "The bucket's name belongs to another account: choose another name by --project.",
    ),
    Rule(
        "NoSuchBucket",
        "",
        "The project has no bucket in this region: run `python -m deploy setup`.",
    ),
    Rule(
        "OperationAborted",
        "",
        "AWS has not finished what was done to the bucket before, such as to delete it: wait some "
        "minutes, then run the command again.",
    ),
    Rule(
        ".*",
        r"ould not access model data at (?P<uri>\S+?)[.,]?(\s|$)",
        "The execution role cannot read {uri}: `aws s3 ls` tells whether it is there; of another "
        "bucket than the project's it has to be copied by `aws s3 cp`.",
    ),
    Rule(
        "FailureReason|ValidationException",
        r"(access ?denied|\b403\b).*\bs3\b|(\bs3\b|data download).*(access ?denied|\b403\b)",
        "The execution role may not read or write there: it may in the project's bucket alone, "
        "where others' files are copied by `aws s3 cp`; where it may not even there, run "
        "`python -m deploy setup`.",
    ),
    Rule(
        ".*",
        r"No S3 objects found under S3 URL|NoSuchKey",
        "There are no scans in the bucket: run `python -m deploy upload prepared`.",
    ),
    Rule(
        ".*",
        r"ould not assume role|role.*(cannot|can't|can not|could not) be (assumed|found)"
        r"|cannot assume (the )?role|role with name \S+ cannot be found|RoleArn.*not exist",
        "The execution role is missing, or SageMaker may not use it: run "
        "`python -m deploy setup`, and wait ten seconds for IAM to spread it.",
    ),
    # The endpoint
    Rule(
        ".*",
        r"ndpoint (?P<endpoint>\S+) of account \S+ not found|ould not find endpoint \S*?\"?"
        r"(?P<arn>arn:\S+?)\"?(\.|$)",
        "There is no endpoint {endpoint}{arn} in this region: make it by `python -m deploy "
        "endpoint`, or name another by --endpoint; `python -m deploy status` lists them.",
    ),
    Rule(
        ".*",
        "did not pass the ping health check|not pass (the )?health check",
        "The container did not become healthy. Try the same image and model here: "
        "`docker run -p 8080:8080 -v $PWD/jobs/JOB/model:/opt/ml/model:ro brain-tumor serve`; a "
        "model that needs more memory gets it by --instance-type or --memory-mb.",
    ),
    Rule(
        ".*",
        r"could not find model data|failed to download model data|model data.*not (found|exist)",
        "The model is not where the endpoint looks for it: give another by --model; "
        "`python -m deploy status` lists the jobs that left one.",
    ),
    # The image
    Rule(
        ".*",
        r"nsupported manifest media type|image manifest.*(not supported|unsupported)",
        "SageMaker does not take this image's manifest (OCI, as current builders make it): push it "
        "anew by `./build_and_push.sh brain-tumor`, which makes Docker's.",
    ),
    Rule(
        ".*",
        r"exec format error|no matching manifest for linux|does not match the specified platform",
        "The image was built for another processor (a Mac's, an ARM server's): push it anew by "
        "`./build_and_push.sh brain-tumor --platform linux/amd64`.",
    ),
    Rule(
        "RepositoryNotFoundException|ImageNotFoundException|.*",
        r"repository with name .* does not exist|equested image .* not found"
        r"|image .*does not exist",
        "The image is not in ECR in this region: run `./build_and_push.sh brain-tumor`, with "
        "--region where you give one here.",
    ),
    # How much
    Rule(
        "ResourceLimitExceeded|ServiceQuotaExceededException|LimitExceededException|LimitExceeded",
        r"limit '(?P<quota>[^']+)' is (?P<limit>\d+)",
        "The account's quota '{quota}' is {limit}: let an administrator ask for more by "
        "`aws service-quotas "
        "request-service-quota-increase --service-code sagemaker --desired-value 1 --quota-code "
        "$(aws service-quotas list-service-quotas --service-code sagemaker --output text --query "
        "\"Quotas[?QuotaName=='{quota}'].QuotaCode\")`, or take another --instance-type.",
    ),
    Rule(
        "ResourceLimitExceeded|ServiceQuotaExceededException|LimitExceededException|LimitExceeded",
        "",
        "A quota of the account is reached ({message}): let an administrator ask for more in the "
        "console of Service Quotas, or free some by `python -m deploy delete`.",
    ),
    Rule(
        ".*",
        "CapacityError|InsufficientInstanceCapacity|nable to provision requested ML compute",
        "AWS has no such instance free in this region now: try again later, without --spot, or "
        "with another --instance-type.",
    ),
    Rule(
        "Throttling|ThrottlingException|TooManyRequestsException|RequestLimitExceeded|SlowDown",
        "",
        "AWS answers that too many calls came in, also after several tries: run the command again "
        "in a minute; it goes on where it stopped.",
    ),
    # What one may do
    Rule(
        "AccessDenied.*|UnauthorizedOperation|403|Forbidden|AuthorizationError",
        r"(perform|authorized to).*? (?P<action>[\w-]+:\w+).*(?P<scp>service control policy)",
        "Your organisation forbids {action} (a service control policy): only its administrators "
        "can allow it; `aws organizations describe-organization` names the account to ask.",
    ),
    Rule(
        "AccessDenied",
        r"authorized to perform: s3:PutBucketPublicAccessBlock",
        "The bucket is open to the public, and nobody but an administrator may change that: let "
        "one run `python -m deploy setup` with their --profile.",
    ),
    Rule(
        "AccessDenied",
        r"authorized to perform: iam:CreatePolicy",
        "The execution role's policy is missing, or is that of another version, and nobody but an "
        "administrator may make it: let one run `python -m deploy iam --no-user`.",
    ),
    Rule(
        "AccessDenied.*|UnauthorizedOperation|403|Forbidden|AuthorizationError|ValidationException",
        r"(perform|authorized to).*? (?P<action>[\w-]+:\w+)",
        "You may not do {action}: let an administrator run `python -m deploy iam`, or attach what "
        "`python -m deploy iam --policy-only` prints to your user or role.",
    ),
    Rule(
        "AccessDenied.*|UnauthorizedOperation|403|Forbidden|AuthorizationError",
        "",
        "You may not do {operation}: let an administrator run `python -m deploy iam`, or attach "
        "what `python -m deploy iam --policy-only` prints to your user or role.",
    ),
    # What we asked
    Rule(
        "DeleteConflict.*",
        "",
        "It has something that this program did not make ({message}): let an administrator remove "
        "that, of a user by `aws iam delete-login-profile` (password), `deactivate-mfa-device`, "
        "`remove-user-from-group`, `delete-user-policy`, of a role by `delete-role-policy`, of a "
        "policy by `detach-user-policy` or `detach-role-policy`; then run `delete` again.",
    ),
    # AWS keeps the record of a transform job for good.
    Rule(".*", r"\bjob names? must be unique|already exists.*-job/", _TAKEN_BY_JOB),
    Rule("ResourceInUse|ResourceInUseException|ConflictException", "", _TAKEN),
    Rule(".*", "already exist|already in use", _TAKEN),
    Rule(
        "ParamValidationError",
        "",
        "AWS does not take a value that was given ({message}): --help tells what can be given.",
    ),
    Rule("WaiterError", "", "AWS did not finish in time: {message}"),
)

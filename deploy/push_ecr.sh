# The repository in Amazon ECR that build_and_push.sh pushes to. Read by that script, whose variables
# and functions it uses, and for which it sets region, account, registry and mutability.
# shellcheck shell=bash disable=SC2034,SC2154

find_region() {
  region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION:-}}}
  [ -n "$region$dry_run" ] || region=$(aws configure get region ${profile:+--profile "$profile"}) ||
    fail "no region is set: give one, such as --region eu-central-1"
  region=${region:-REGION}
  account=(--region "$region")
  [ -z "$profile" ] || account+=(--profile "$profile")
}

# ECR itself tells the registry's name, which ends otherwise in China and other partitions.
find_repository() {
  local answer there=yes fields='[repositoryUri,imageTagMutability]'
  answer=$(ask ecr describe-repositories --repository-names "$repository" \
    --query "repositories[0].$fields" --output text) || {
    grep -q RepositoryNotFoundException "$scratch/log" || explain "ECR does not tell of $repository"
    there=''
  }
  # A dry run supposes that there is none.
  if [ -z "$there" ] || [ -n "$dry_run" ]; then
    # scanOnPush: ECR looks for known weaknesses in what is pushed.
    answer=$(ask ecr create-repository --repository-name "$repository" \
      --image-scanning-configuration scanOnPush=true --tags "Key=brain-tumor-project,Value=$project" \
      --image-tag-mutability "${immutable:-MUTABLE}" --query "repository.$fields" --output text) ||
      explain "the repository $repository cannot be made"
    keep_untagged=${keep_untagged:-10}
  fi
  read -r registry mutability <<<"${answer:-ACCOUNT.dkr.ecr.$region.amazonaws.com/ ${immutable:-MUTABLE}}"
  registry=${registry%%/*}
  set_rules
}

set_rules() {
  # By their number: by their age an image would go on the day on which it loses its tag, once it
  # is old enough, while an endpoint may still start instances from its digest.
  local rule='{"rulePriority":1,"description":"untagged","selection":{"tagStatus":"untagged",'
  rule+='"countType":"imageCountMoreThan","countNumber":'$keep_untagged'},"action":{"type":"expire"}}'
  if [ "${immutable:-$mutability}" != "$mutability" ]; then
    ask ecr put-image-tag-mutability --repository-name "$repository" \
      --image-tag-mutability "$immutable" >/dev/null || explain "tags cannot be made immutable"
    mutability=$immutable
  fi
  # Nothing that was pushed is worse for the lack of it.
  [ "${keep_untagged:-0}" = 0 ] || ask ecr put-lifecycle-policy --repository-name "$repository" \
    --lifecycle-policy-text "{\"rules\":[$rule]}" >/dev/null ||
    tell "untagged images will stay in $repository: $(grep . "$scratch/log" | tail -n 1)"
}

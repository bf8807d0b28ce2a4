# shellcheck shell=bash disable=SC2154,SC2329  # what run.sh sets; what within calls
# Sourced by run.sh: a database on a volume that is full. The volume is a file system in memory, mounted on the machine by a pod that
# may do so, in a namespace of its own.

DISK=/tmp/quorate-disk-$$
DISK_MEGABYTES=192 # initdb takes 40, and the write-ahead log 16 at a time

on_the_machine() { # NAME COMMAND: where the kubelet sees it; the machine that ran the first is the one for all
  kubectl --namespace "$ns-disk" apply -f - >/dev/null <<Y || return 1
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  restartPolicy: Never
  hostPID: true
  ${disk_machine:+nodeName: $disk_machine}
  containers:
    - name: machine
      image: $POSTGRES
      imagePullPolicy: IfNotPresent
      securityContext: {privileged: true, runAsUser: 0}
      command: [sh, -ec, "kubelet=\$(grep -lx kubelet /proc/[0-9]*/comm | head -n 1); nsenter --mount=\${kubelet%comm}ns/mnt sh -ec '$2'"]
Y
  has_ended() { kubectl --namespace "$ns-disk" get pod "$1" -o jsonpath='{.status.phase}' | grep -x Succeeded; }
  within 60 has_ended "$1"
}
make_disk() {
  kubectl create namespace "$ns-disk" >/dev/null || return 1
  on_the_machine mount "mkdir -p $DISK; mount -t tmpfs -o size=${DISK_MEGABYTES}m,mode=0777 quorate $DISK" || return 1
  disk_machine=$(kubectl --namespace "$ns-disk" get pod mount -o jsonpath='{.spec.nodeName}')
  kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: PersistentVolume
metadata: {name: $ns-disk}
spec:
  storageClassName: $ns-disk
  capacity: {storage: ${DISK_MEGABYTES}Mi}
  accessModes: [ReadWriteOnce]
  hostPath: {path: $DISK}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$disk_machine]}]
Y
}
remove_disk() {
  kubectl get namespace "$ns-disk" >/dev/null 2>&1 || return 0
  on_the_machine umount "umount $DISK && rmdir $DISK" || true
  kubectl delete persistentvolume "$ns-disk" --ignore-not-found --wait=false >/dev/null 2>&1 || true
  kubectl delete namespace "$ns-disk" --wait=true --timeout=60s >/dev/null 2>&1 || true
}

full_disk() {
  make_disk || { echo "this cluster lets no pod mount on its machine"; return 3; }
  # Often, for the pages that the tables have already hold some ten records more.
  h install full ./helm "${plain[@]}" --set nodes.writeInterval=5s --set "postgres.storage.storageClass=$ns-disk,postgres.storage.size=${DISK_MEGABYTES}Mi" "${waiting[@]}" --timeout 120s >/dev/null || return 1
  has_further 1 $((2 * WINDOW)) full-quorate >/dev/null || return 1
  # In two sizes, so that no block is left.
  k exec full-quorate-postgres-0 -- sh -c 'cd /var/lib/postgresql/data; dd if=/dev/zero of=filler bs=1M; dd if=/dev/zero of=filler2 bs=512' >/dev/null 2>&1 || true
  told() { grep -ho -m1 'No space left on device' "$work/logs/full-quorate-node-"*; }
  within $((8 * WINDOW)) told || { echo "no node's log names it"; return 1; }
  within 30 k exec full-quorate-postgres-0 -- rm -f /var/lib/postgresql/data/filler /var/lib/postgresql/data/filler2 || return 1
  within $((3 * WINDOW)) count full-quorate && has_further 2 $((4 * WINDOW)) full-quorate || return 1
  echo "named in the log, and records go on"
}

"""What a machine is told to become: cloud-init, kubeadm, the cluster's PKI, the manifests of jet and kube-vip."""

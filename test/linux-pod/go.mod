module skiff/test/linux-pod

go 1.26.0

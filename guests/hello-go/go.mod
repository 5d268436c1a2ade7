module skiff/guests/hello-go

go 1.21

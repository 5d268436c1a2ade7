/* greet: what Krustlet's hello-world demos print: a line on each stream, environment, arguments,
 * and a file when there is one. */
#include <stdio.h>

extern char** environ;

int main(int argc, char** argv) {
    puts("Hello, world!");
    fflush(stdout);
    fputs("Hello from stderr!\n", stderr);
    for (char** entry = environ; *entry != NULL; entry++) {
        puts(*entry);
    }
    printf("Args are:");
    for (int i = 0; i < argc; i++) {
        printf(" %s", argv[i]);
    }
    puts("");
    FILE* file = fopen("/mnt/storage/bacon_ipsum.txt", "r");
    if (file != NULL) {
        puts("\nBacon ipsum:");
        for (int letter; (letter = fgetc(file)) != EOF;) {
            putchar(letter);
        }
        fclose(file);
    }
    return 0;
}

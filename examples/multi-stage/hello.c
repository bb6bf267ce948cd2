#include <stdio.h>

int main(void)
{
	puts("hello from a layer of one file");
	return 0;
}

import { wantedPlatforms, type BuildPlatforms } from '../../../builder/build-platforms.ts';
import type { BuildOptions } from '../../../builder/options.ts';
import type { Recipe } from '../../../recipe/model.ts';
import type { Session } from '../../session.ts';
import { parsePlatforms } from './build-options.ts';
import { loadBuildRecipes, type SubstitutionFlags } from './load-recipes.ts';

/** What a build is asked for, as far as platforms matter. */
export interface RecipesWish {
  readonly files: readonly string[];
  readonly flags: SubstitutionFlags & { readonly platform?: readonly string[] };
  /** As read for this host. */
  readonly recipes: readonly Recipe[];
  readonly options: BuildOptions;
}

/** The platforms that are wanted of recipes, which are read again for each: values such as `STK_ARCH` differ. */
export function platformRecipes(
  session: Session,
  { files, flags, recipes, options }: RecipesWish,
): Pick<BuildPlatforms, 'platforms' | 'recipesFor'> {
  const host = options.platform;
  const images = recipes.flatMap(recipe => recipe.images);
  return {
    platforms: wantedPlatforms(images, options.names, { named: parsePlatforms(flags.platform ?? []), host }),
    recipesFor: async platform =>
      platform === host ? recipes : (await loadBuildRecipes(session, files, flags, platform)).recipes,
  };
}
